"""The key that signs tokens: made at the first start, then read by every gateway."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def signing_key(path: Path) -> bytes:
    """The key in the file at ``path``, which only its owner can read. Of several who make it, one wins.

    Returns:
        64 hexadecimal digits: 256 random bits.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole before it has its name: a process that ends in between leaves no empty key. Mode 0600.
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_bytes()
