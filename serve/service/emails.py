"""One spelling for each email address."""

import unicodedata

MAX_EMAIL_CHARACTERS = 254


def normalised_email(email: str) -> str | None:
    """The spelling by which an address is kept and found; None if it is none."""
    normalised = unicodedata.normalize("NFC", email.strip()).casefold()
    before, at, after = normalised.partition("@")
    whole = bool(before and at and after) and "@" not in after and len(normalised) <= MAX_EMAIL_CHARACTERS
    return normalised if whole and normalised.isprintable() and " " not in normalised else None
