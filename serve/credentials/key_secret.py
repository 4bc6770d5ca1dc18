"""The text of an API key: ``vy_``, the key's id as 32 hexadecimal digits, ``_``, and 32 random bytes."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from uuid import UUID

PREFIX = "vy_"

_FORM = re.compile(r"vy_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class KeySecret:
    """An API key in parts.

    Attributes:
        key_id: UUID of the key.
        secret: What only its holder knows; in no ``repr`` and so in no log.
    """

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls, key_id: str) -> "KeySecret":
        """A new secret for the key."""
        return cls(key_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> "KeySecret | None":
        """The parts of ``text``; None if no key looks like it."""
        found = _FORM.fullmatch(text)
        return None if found is None else cls(str(UUID(found[1])), found[2])

    @property
    def text(self) -> str:
        """What the holder sends."""
        return f"{PREFIX}{UUID(self.key_id).hex}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is stored: SHA-256, 32 bytes. Nobody can guess 256 random bits, so a quick hash will do."""
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Whether ``digest`` is this secret's, in a time that does not tell where they differ."""
        return hmac.compare_digest(self.digest, digest)
