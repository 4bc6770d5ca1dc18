"""One spelling for each email address."""

import unicodedata

MAX_EMAIL_CHARACTERS = 254


def normalised_email(email: str) -> str | None:
    """The spelling by which an address is kept and found; None if it is none.

    Letters are made small, and no more: ``casefold`` would also make one address of ``ß`` and ``ss``, which
    are two people's.
    """
    stripped = email.strip()
    # Before anything else: the time that normalising takes grows with the square of the length.
    if len(stripped) > MAX_EMAIL_CHARACTERS:
        return None
    normalised = unicodedata.normalize("NFC", stripped.lower())
    before, at, after = normalised.partition("@")
    whole = bool(before and at and after) and "@" not in after and len(normalised) <= MAX_EMAIL_CHARACTERS
    return normalised if whole and normalised.isprintable() and " " not in normalised else None
