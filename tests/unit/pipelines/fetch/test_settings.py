"""The settings of fetching."""

import pytest
from pydantic import ValidationError

from pipelines.fetch import FetchSettings


def test_every_field_is_described() -> None:
    assert all(field.description for field in FetchSettings.model_fields.values())


@pytest.mark.parametrize(
    "host", ["http://example.com", "a:80", "10.0.0.1/8", "*", "*.example.com", "", "1.2.3", "a b"]
)
def test_what_is_no_host_is_refused_among_the_allowed_ones(host: str) -> None:
    with pytest.raises(ValidationError, match="host name, address or network"):
        FetchSettings(allow_hosts=(host,))


@pytest.mark.parametrize("agent", ["", "Bot\r\nCookie: a", "(Bot)", "Böt/1.0"])
def test_a_user_agent_begins_with_a_name_and_stays_in_its_header(agent: str) -> None:
    with pytest.raises(ValidationError, match="user_agent"):
        FetchSettings(user_agent=agent)


def test_ports_are_ports() -> None:
    with pytest.raises(ValidationError, match="65535"):
        FetchSettings(allow_ports=(0,))
