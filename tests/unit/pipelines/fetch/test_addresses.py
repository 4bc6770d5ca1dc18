"""What may be fetched, by its URL and by the addresses of its host."""

from ipaddress import ip_address

import pytest

from pipelines.fetch import FetchError, FetchFailure, FetchSettings
from pipelines.fetch.addresses import AddressPolicy, is_public

POLICY = AddressPolicy(FetchSettings())

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2606:4700::1111%eth0",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_urls_of_addresses_that_are_not_public_are_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert failure_of(f"http://{host}/") is FetchFailure.NOT_PUBLIC


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_names_of_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(FetchError) as raised:
        POLICY.check_addresses("example.com", 80, ["1.1.1.1", address])
    assert raised.value.reason is FetchFailure.NOT_PUBLIC
    assert address not in raised.value.message


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.1.1.1",
        "example.0x7f",
        "example.1",
        "134744072",
    ],
)
def test_addresses_in_other_spellings_are_refused(host: str) -> None:
    assert failure_of(f"http://{host}/") is FetchFailure.INVALID_URL
    assert failure_of(f"http://{host}./") is FetchFailure.INVALID_URL


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "１２７.0.0.1",  # noqa: RUF001
        "127。0。0。1",
        "127.0.0.1.",
        "printer.local",
        "metadata.google.internal",
        "metadata",
        "router.lan",
        "nas.home.arpa",
    ],
)
def test_local_names_are_refused_before_they_are_looked_up(host: str) -> None:
    assert failure_of(f"http://{host}/") is FetchFailure.NOT_PUBLIC


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "unix:///var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
        "data:text/html,hello",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://:secret@example.com/",
        "http://@127.0.0.1@example.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:http/",
        "http://exam ple.com/",
        "http://example.com%00.evil.com/",
        "http://a..b.com/",
        "http://.example.com/",
        "http://-example.com/",
        "http://example.com../",
        "http://[::1/",
        "http://[::1]evil/",
        "http://[1.2.3.4]/",
        "http://evil.com\\@example.com/",
        "http://example.com/" + "a" * 9000,
        f"http://{'a' * 64}{'.a' * 100}.com/",
    ],
)
def test_what_is_no_url_of_a_page_is_refused(url: str) -> None:
    assert failure_of(url) is FetchFailure.INVALID_URL


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(FetchError) as raised:
        POLICY.admit("http://user:secret@example.com/")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "requested"),
    [
        ("http://example.com/", "http://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com./", "http://example.com/"),
        ("http://example.com.:8080/", "http://example.com:8080/"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
        ("http://1.1.1.1/", "http://1.1.1.1/"),
        ("http://a_b.example.com/", "http://a_b.example.com/"),
    ],
)
def test_public_urls_are_admitted_in_one_spelling(told: str, requested: str) -> None:
    assert str(POLICY.admit(told)) == requested


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 8265])
def test_ports_of_other_services_are_refused(port: int) -> None:
    assert failure_of(f"http://1.1.1.1:{port}/") is FetchFailure.PORT_NOT_ALLOWED
    with pytest.raises(FetchError, match=f"Port {port}"):
        POLICY.check_addresses("example.com", port, ["1.1.1.1"])


def test_an_allowed_name_leads_anywhere_and_no_other_name_does() -> None:
    policy = AddressPolicy(FetchSettings(allow_hosts=("Docs.Intern.", "localhost")))
    policy.admit("http://localhost:9999/")
    policy.admit("http://docs.intern/")
    policy.check_addresses("docs.intern", 9999, ["10.0.0.1"])
    with pytest.raises(FetchError):
        policy.check_addresses("other.intern", 80, ["10.0.0.1"])
    with pytest.raises(FetchError):
        policy.admit("http://127.0.0.1:9999/")
    with pytest.raises(FetchError):
        policy.admit("http://sub.localhost/")


def test_an_allowed_network_is_allowed_by_number_and_by_name() -> None:
    policy = AddressPolicy(FetchSettings(allow_hosts=("10.1.0.0/16", "fd00::/8", "127.0.0.1")))
    policy.admit("http://10.1.2.3:9999/")
    policy.admit("http://[fd00::7]/")
    policy.admit("http://localhost:1234/")
    policy.check_addresses("localhost", 9999, ["127.0.0.1"])
    policy.check_addresses("docs.example.com", 9999, ["10.1.2.3"])
    with pytest.raises(FetchError):
        policy.check_addresses("docs.example.com", 80, ["10.1.2.3", "10.2.0.1"])
    with pytest.raises(FetchError):
        policy.admit("http://10.2.0.1/")


def failure_of(url: str) -> FetchFailure:
    with pytest.raises(FetchError) as raised:
        POLICY.admit(url)
    return raised.value.reason
