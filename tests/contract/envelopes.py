"""What every error looks like, per family: one assertion each."""

import httpx


def assert_vectorizer_error(response: httpx.Response, status: int, code: str) -> None:
    """The Vectorizer envelope: exactly ``error``, ``code`` and ``details``, and nothing of the inside."""
    assert response.headers["content-type"] == "application/json", response.text
    body = response.json()
    assert (response.status_code, body.get("code")) == (status, code), body
    assert body.keys() == {"error", "code", "details"}
    assert isinstance(body["details"], dict)
    _assert_common(response, body["error"])


def assert_vectory_error(response: httpx.Response, status: int) -> None:
    """The Vectory envelope: exactly ``detail``, a sentence."""
    assert response.headers["content-type"] == "application/json", response.text
    body = response.json()
    assert response.status_code == status, body
    assert body.keys() == {"detail"}
    _assert_common(response, body["detail"])


def assert_kissvdb_error(response: httpx.Response, status: int, code: str) -> None:
    """The kiss-vdb envelope: exactly ``error``, a code, and ``message``, a sentence."""
    assert response.headers["content-type"] == "application/json", response.text
    body = response.json()
    assert (response.status_code, body.get("error")) == (status, code), body
    assert body.keys() == {"error", "message"}
    _assert_common(response, body["message"])


def assert_webcontent_error(response: httpx.Response, status: int) -> None:
    """The Web Content envelope, which is Vectory's."""
    assert_vectory_error(response, status)


def _assert_common(response: httpx.Response, message: object) -> None:
    assert isinstance(message, str)
    assert message.endswith(".")
    assert "  " not in message
    assert len(response.headers["x-request-id"]) == 32
    for inside in ("Traceback", ".py", "sqlite", "0x", "secret"):
        assert inside not in response.text
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)
    assert ("retry-after" in response.headers) == (response.status_code in (429, 503))


def assert_mcp_error(response: httpx.Response, status: int, code: int = -32600) -> None:
    """A JSON-RPC error that answers no message in particular."""
    assert response.headers["content-type"] == "application/json", response.text
    body = response.json()
    assert response.status_code == status, body
    assert body.keys() == {"jsonrpc", "id", "error"}
    assert (body["jsonrpc"], body["id"], body["error"]["code"]) == ("2.0", None, code)
    assert body["error"].keys() <= {"code", "message", "data"}
    _assert_common(response, body["error"]["message"])
