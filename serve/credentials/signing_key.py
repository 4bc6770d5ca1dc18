"""The key that signs tokens: made at the first start, then read by every gateway."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

_DIGITS = 64


def signing_key_path(data_dir: Path) -> Path:
    """Where a server with this data folder keeps its key."""
    return data_dir / "secrets" / "tokens.key"


def signing_key(path: Path) -> bytes:
    """The key in the file at ``path``, made for its owner alone to read. Of several who make it, one wins.

    Returns:
        64 hexadecimal digits: 256 random bits.

    Raises:
        OSError: The file cannot be made or read.
        ValueError: It is cut short: it would sign tokens, and worse than it should.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole before it has its name: a process that ends in between leaves no empty key. Mode 0600.
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-") as file:
            file.write(secrets.token_hex(_DIGITS // 2))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, path)
    key = path.read_bytes()
    if len(key) < _DIGITS:
        raise ValueError(f"The key that signs tokens must have {_DIGITS} hexadecimal digits.")
    return key
