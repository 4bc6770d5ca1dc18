"""What must hold before a server starts: each check refuses in one sentence that says what to do."""

import fcntl
import os
import socket
from ipaddress import ip_address
from pathlib import Path

from serve.credentials.signing_key import signing_key, signing_key_path
from vectoray.core.errors import Conflict, InvalidRequest


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str) -> None:
    """Refuse to listen where others could call.

    Raises:
        InvalidRequest: The host is not a loopback address.
    """
    if not is_loopback(host):
        raise InvalidRequest(
            f"The host '{host}' is not a loopback address. This version serves this machine alone, and "
            "lets in who has no credential: use 127.0.0.1, and a reverse proxy that checks them for others."
        )


def prepare_data_dir(data_dir: Path) -> Path:
    """Make the folder, check that it can be written, and return it as an absolute path.

    Raises:
        InvalidRequest: It cannot be written.
    """
    absolute = data_dir.absolute()
    try:
        for folder in (absolute, absolute / "run", absolute / "secrets"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = absolute / "run" / "probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidRequest(
            f"The data folder '{absolute}' cannot be written: {error.strerror}. "
            "Choose another one with --data-dir."
        ) from None
    return absolute


def check_signing_key(data_dir: Path) -> None:
    """Make the key that signs tokens, unless it is there, and refuse one that is damaged.

    Raises:
        InvalidRequest: It cannot be made or read, or is cut short.
    """
    path = signing_key_path(data_dir)
    try:
        signing_key(path)
    except OSError as error:
        raise InvalidRequest(
            f"The key that signs tokens, '{path}', cannot be made or read: {error.strerror}."
        ) from None
    except ValueError:
        raise InvalidRequest(
            f"The key that signs tokens, '{path}', is damaged. Restore it; or delete it, and a new one is "
            "made, which ends all tokens."
        ) from None


def lock_data_dir(data_dir: Path) -> int:
    """Hold the data folder for this process. The kernel releases it however the process ends.

    Raises:
        Conflict: Another server holds it.
    """
    descriptor = os.open(data_dir / "run" / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict(
            f"Another server uses the data folder '{data_dir}'; stop it with "
            f"'vectoray down --data-dir {data_dir}', or choose another folder."
        ) from None
    return descriptor


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be listened on.

    Raises:
        Conflict: Somebody else listens there, or this user may not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another one with --port."
            ) from None
