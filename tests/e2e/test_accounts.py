"""Accounts on a running server: what one gateway answers, every other one accepts, until it is revoked."""

import httpx
import psutil
import pytest

from tests.e2e.command import vectoray
from tests.e2e.conftest import RunningServer

pytestmark = pytest.mark.timeout(200)

USER = {"email": "ann@example.com", "password": "correct horse", "name": "Ann"}


def gateway_urls(running: RunningServer) -> list[str]:
    """Where each gateway by itself listens for HTTP."""
    return [
        f"http://127.0.0.1:{connection.laddr.port}"
        for process in running.processes()
        if "ServeReplica:gateway" in "".join(process.cmdline())
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and 20_000 <= connection.laddr.port < 32_000
    ]


def test_a_credential_of_one_gateway_is_good_in_all_until_it_is_revoked(running: RunningServer) -> None:
    urls = gateway_urls(running)
    assert len(urls) >= 2
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{urls[0]}/api/auth/register", json=USER).status_code == 201
        pair = client.post(f"{urls[1]}/api/auth/login", json=USER).json()
        bearer = {"authorization": f"Bearer {pair['access_token']}"}
        key = client.post(f"{urls[0]}/api/keys", json={"name": "k"}, headers=bearer).json()
        by_key = {"x-api-key": key["raw_key"]}
        for url in urls * 2:
            for headers in (bearer, by_key):
                assert client.get(f"{url}/api/auth/me", headers=headers).json()["name"] == "Ann"
        revoked = client.delete(f"{urls[0]}/api/keys/{key['id']}", headers=bearer)
        assert revoked.status_code == 204
        assert [client.get(f"{url}/api/auth/me", headers=by_key).status_code for url in urls] == [401] * len(
            urls
        )


def test_the_signing_key_is_its_owners_alone(running: RunningServer) -> None:
    secrets = running.data_dir / "secrets"
    assert (secrets / "tokens.key").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in secrets.iterdir()} == {"ray.token", "tokens.key"}


def test_a_user_who_is_shut_out_on_the_machine_is_refused_from_the_next_request_on(
    running: RunningServer,
) -> None:
    body = {"email": "bob@example.com", "password": "correct horse", "name": "Bob"}
    with httpx.Client(trust_env=False, base_url=running.file.api_url) as client:
        assert client.post("/api/auth/register", json=body).status_code == 201
        token = client.post("/api/auth/login", json=body).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        assert client.get("/api/auth/me", headers=headers).status_code == 200
        for action, status in (("deactivate", 401), ("activate", 200)):
            done = vectoray("users", action, body["email"], "--data-dir", running.data_dir)
            assert done.returncode == 0, done.stderr
            assert client.get("/api/auth/me", headers=headers).status_code == status


def test_nobody_gets_more_guesses_by_inventing_addresses(running: RunningServer) -> None:
    gateways = len(gateway_urls(running))
    body = {"email": "carl@example.com", "password": "wrong horse"}
    with httpx.Client(trust_env=False, base_url=running.file.api_url) as client:
        answers = [
            client.post(
                "/api/auth/login",
                json=body,
                headers=dict.fromkeys(("x-vectoray-client-address", "x-forwarded-for"), f"192.0.2.{number}"),
            )
            for number in range(10 * gateways + 1)
        ]
    assert {answer.status_code for answer in answers} == {401, 429}
