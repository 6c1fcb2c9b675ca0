"""What settings mean, apart from where they come from."""

import pytest
from pydantic import ValidationError

from imbot.settings import AdminPart, AgentPart, AuthPart, GwsPart, PluginsPart, Settings


def told(model, **given):
    """Return what a model says against these values, the first sentence of it."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ").partition(";")[0]


@pytest.mark.parametrize(
    "url",
    ["https://gws.example", "http://10.0.0.1:8090", "https://[::1]:8090", "https://gws.example/"],
)
def test_an_origin_is_scheme_host_and_perhaps_a_port(url):
    """A slash at the end is nobody's mistake."""
    assert GwsPart(url=url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "gws.example:8090",
        "ftp://gws.example",
        "https://",
        "https://:8090",
        "https://gws.example/api",
        "https://gws.example?",
        "https://gws.example#x",
        "https://user@gws.example",
        "https://gws.example:0",
        "https://gws.example:65536",
        "https://gws.example:http",
        "https://[::1",
        "https://gws .example",
        "https://gws.example\\x",
    ],
)
def test_what_is_no_origin_is_refused(url):
    """A request to somewhere else would carry the password along."""
    assert told(GwsPart, url=url) == "this is no origin"


@pytest.mark.parametrize("listen", ["127.0.0.1:8081", "localhost:0", "[::1]:8081", "127.0.0.2:80"])
def test_an_address_has_a_port(listen):
    """Both families."""
    assert AdminPart(listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["8081", "localhost", ":8081", "::1:8081", "x:65536", "x:-1"])
def test_what_is_no_address_is_refused(listen):
    """Binding it would say less."""
    assert told(AdminPart, listen=listen) == "this is no address with a port"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "name exactly one of bearer, cookies, headers"),
        ({"bearer": "a", "cookies": {"b": "c"}}, "name exactly one of bearer, cookies, headers"),
        ({"headers": {}}, "Dictionary should have at least 1 item after validation, not 0"),
        ({"bearer": ""}, "this secret is empty"),
    ],
)
def test_exactly_one_way_to_log_in_without_a_password(given, reason):
    """Two of them would fight at the server."""
    assert told(AuthPart, **given) == reason


@pytest.mark.parametrize("given", [{}, {"password": "x", "auth": {"bearer": "y"}}])
def test_an_agent_logs_in_one_way(given):
    """No way is no login."""
    assert told(AgentPart, user="a", **given) == "name exactly one of password, auth"


def test_what_is_wrong_with_a_value_never_shows_it():
    """Whoever makes settings in a test or a tool prints the error as it is."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(
            {"gws": {"url": "x"}, "agents": [{"user": 1, "password": ["pa55"]}]}
        )

    assert "pa55" not in str(caught.value)


def test_options_under_secret_names_are_wrapped_at_any_depth():
    """What stands beside them stays readable."""
    part = PluginsPart(options={"crm": {"token": "a", "in": [{"password": ["b", 7]}], "url": "c"}})

    assert "'a'" not in repr(part)
    assert "'b'" not in repr(part)
    assert "'url': 'c'" in repr(part)


def test_a_country_is_two_capitals():
    """Phone numbers without a country code are read as of there."""
    least = {"gws": {"url": "https://gws"}, "agents": [{"user": "a", "password": "b"}]}

    assert Settings.model_validate({**least, "country": "AT"}).country == "AT"
    assert told(Settings, **least, country="at") == "this is no country"


def test_settings_are_values():
    """Nothing that holds them can be surprised."""
    part = GwsPart(url="https://gws")

    with pytest.raises(ValidationError):
        part.url = "https://other"
