"""Nothing is connected to but what was checked: redirects, names that change, certificates, proxies."""

import datetime as dt
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page
from tests.unit.pipelines.fetch.conftest import settings
from tests.unit.pipelines.fetch.site import Site, page, redirect, response


class Names:
    """A lookup that gives one answer after the other, and the last again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def failure(fetcher: Fetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as raised:
        await fetcher.fetch(url)
    return raised.value


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/secret",
        "//127.0.0.2:{port}/secret",
        "http://localhost:{port}/secret",
        "http://2130706434:{port}/secret",
        "http://0x7f000002:{port}/secret",
        "http://[::ffff:127.0.0.2]:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://0.0.0.0/",
    ],
)
async def test_a_redirect_to_a_place_inside_is_not_followed(
    target: str, site: Site, opened: AsyncExitStack
) -> None:
    secret = await opened.enter_async_context(Site("127.0.0.2", site.port))
    secret.answers["/secret"] = page()
    site.answers["/"] = redirect(target.format(port=site.port))
    # The name 'localhost' is looked up at all only because an address is allowed.
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=Names(["127.0.0.2"])))
    error = await failure(fetcher, site.url("/"))
    assert error.reason in (FetchFailure.NOT_PUBLIC, FetchFailure.INVALID_URL)
    assert error.message.startswith("It redirects to another page. ")
    assert "127" not in error.message
    assert "169" not in error.message
    assert secret.requests == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://user:pass@127.0.0.1/", "http://["]
)
async def test_a_redirect_to_what_is_no_page_is_not_followed(
    target: str, site: Site, fetcher: Fetcher
) -> None:
    site.answers["/"] = redirect(target)
    assert (await failure(fetcher, site.url("/"))).reason in (
        FetchFailure.INVALID_URL,
        FetchFailure.BAD_REDIRECT,
    )


async def test_the_address_that_was_checked_is_the_one_connected_to(
    site: Site, opened: AsyncExitStack
) -> None:
    secret = await opened.enter_async_context(Site("127.0.0.2", site.port))
    for place in (site, secret):
        place.answers["/"] = page(f"<!doctype html>{place.host}")
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=names))
    found = await fetcher.fetch(site.url("/", "rebinding.example"))
    assert isinstance(found, Page)
    assert found.body == b"<!doctype html>127.0.0.1"
    assert secret.requests == []
    assert names.asked == ["rebinding.example."]


async def test_a_name_that_has_come_to_lead_inside_is_refused(site: Site, opened: AsyncExitStack) -> None:
    secret = await opened.enter_async_context(Site("127.0.0.2", site.port))
    names = Names(["127.0.0.2"])
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=names))
    error = await failure(fetcher, site.url("/", "rebinding.example"))
    assert error.reason is FetchFailure.NOT_PUBLIC
    assert "127.0.0" not in str(error.details) + error.message
    assert secret.requests == []


async def test_one_address_inside_among_others_is_enough_to_refuse(
    site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/"] = page()
    names = Names(["127.0.0.1", "10.0.0.1"])
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=names))
    assert (await failure(fetcher, site.url("/", "both.example"))).reason is FetchFailure.NOT_PUBLIC
    assert site.requests == []


async def test_an_allowed_name_is_reached_wherever_it_leads(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = page()
    names = Names(["127.0.0.1"])
    fetcher = await opened.enter_async_context(Fetcher(settings(allow_hosts=("docs.intern",)), lookup=names))
    assert isinstance(await fetcher.fetch(site.url("/", "docs.intern")), Page)
    assert (await failure(fetcher, site.url("/"))).reason is FetchFailure.NOT_PUBLIC


async def test_a_name_without_addresses_is_told(opened: AsyncExitStack) -> None:
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=Names([])))
    assert (
        await failure(fetcher, "http://nowhere.example/")
    ).message == "The host of the URL cannot be found; see that it is spelled right."


async def test_the_machines_own_resolver_is_asked(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = page()
    fetcher = await opened.enter_async_context(Fetcher(settings()))
    assert isinstance(await fetcher.fetch(site.url("/", "localhost")), Page)


async def test_a_proxy_of_the_environment_is_not_used(
    site: Site, opened: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await opened.enter_async_context(Site())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url("/"))
    site.answers["/"] = page()
    fetcher = await opened.enter_async_context(Fetcher(settings()))
    await fetcher.fetch(site.url("/"))
    assert proxy.requests == []


async def test_nothing_is_carried_from_one_page_to_the_next(
    site: Site, opened: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    other = await opened.enter_async_context(Site("127.0.0.2"))
    site.answers["/"] = response(status=302, Location=other.url("/"), Set_Cookie="id=1; Path=/")
    other.answers["/"] = response(status=302, Location=site.url("/end"), Set_Cookie="id=2; Path=/")
    site.answers["/end"] = page()
    fetcher = await opened.enter_async_context(Fetcher(settings(allow_hosts=("127.0.0.0/8",))))
    await fetcher.fetch(site.url("/"))
    sent = {name for request in site.requests + other.requests for name in request.headers}
    assert sent == {"host", "user-agent", "accept", "accept-encoding"}


async def test_certificates_are_verified_against_the_name(opened: AsyncExitStack, tmp_path: Path) -> None:
    server, client = tls_of("good.example", tmp_path)
    site = await opened.enter_async_context(Site(tls=server))
    site.answers["/"] = page()
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=Names(["127.0.0.1"]), tls=client))
    assert isinstance(await fetcher.fetch(site.url("/", "good.example")), Page)
    assert (await failure(fetcher, site.url("/", "evil.example"))).reason is FetchFailure.TLS_FAILED


async def test_a_certificate_that_nobody_trusts_is_refused(opened: AsyncExitStack, tmp_path: Path) -> None:
    server, _ = tls_of("good.example", tmp_path)
    site = await opened.enter_async_context(Site(tls=server))
    fetcher = await opened.enter_async_context(Fetcher(settings(), lookup=Names(["127.0.0.1"])))
    assert (await failure(fetcher, site.url("/", "good.example"))).reason is FetchFailure.TLS_FAILED
    assert site.requests == []


def tls_of(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that has a certificate for a name, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))
