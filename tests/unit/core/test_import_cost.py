"""What users of the client and the command line do not pay for: server packages they may not even have."""

import subprocess
import sys

import pytest

SERVER_PACKAGES = {"ray", "fastapi", "pydantic", "pyarrow", "torch", "openvino", "sqlalchemy", "lance"}
OUR_SERVER = {"serve", "pipelines", "cluster", "storage"}


@pytest.mark.parametrize("module", ["vectoray", "vectoray.client", "vectoray.cli.main"])
def test_importing_what_users_import_loads_no_server_package(module: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert module in loaded
    assert (SERVER_PACKAGES | OUR_SERVER) & {name.partition(".")[0] for name in loaded} == set()
