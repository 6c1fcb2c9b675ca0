import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from imbot.cookies import Cookies

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL_OF_ME = URL("http://gws:8090/api/v2/me")


def morsel(name="JSESSIONID", value="abc", **attributes):
    """Return a cookie as a server gives it."""
    parts = [f"{name}={value}"]
    for key, told in attributes.items():
        named = key.replace("_", "-").title()
        parts += [named] if told is True else [f"{named}={told}"] if told else []
    return "; ".join(parts)


def kept(*morsels, url=URL_OF_ME):
    """Return the cookies of a door after one answer."""
    cookies = Cookies()
    cookies.keep(url, morsels, now=NOW)
    return cookies


def sent(cookies, url=URL_OF_ME, *, now=NOW, own=""):
    """Return the header of a request."""
    return cookies.header(URL(url), now=now, own=own)


def test_what_a_server_gave_goes_back():
    cookies = kept(morsel(path="/"), morsel("BAYEUX_BROWSER", '"d=e f"', path="/"))
    assert sent(cookies) == 'JSESSIONID=abc; BAYEUX_BROWSER="d=e f"'


def test_another_of_the_same_name_and_path_takes_its_place():
    cookies = kept(morsel(path="/"))
    cookies.keep(URL_OF_ME, [morsel(value="new", path="/")], now=NOW)
    assert sent(cookies) == "JSESSIONID=new"


@pytest.mark.parametrize("domain", ["", "gws", "example", ".other.example"])
def test_no_other_host_gets_it_whatever_domain_it_names(domain):
    """A plugin's login at one host must not leak to the next."""
    cookies = kept(morsel(path="/", domain=domain))
    assert sent(cookies, "http://www.gws:8090/api") == ""
    assert sent(cookies, "http://gws:1/api") == "JSESSIONID=abc"


@pytest.mark.parametrize(
    ("path", "goes_to", "stays_from"),
    [
        ("/", ["/", "/x"], []),
        ("/api", ["/api", "/api/", "/api/v2"], ["/", "/apix"]),
        ("/api/", ["/api/", "/api/v2"], ["/api", "/"]),
        ("", ["/api/v2", "/api/v2/me"], ["/api/v3", "/api"]),
        ("api", ["/api/v2/x"], ["/"]),
    ],
)
def test_only_its_path_gets_it(path, goes_to, stays_from):
    """One without a path belongs where the answer came from. Source: RFC 6265, 5.1.4."""
    cookies = kept(morsel(path=path))
    assert [sent(cookies, f"http://gws{one}") for one in goes_to] == ["JSESSIONID=abc"] * len(
        goes_to
    )
    assert not any(sent(cookies, f"http://gws{one}") for one in stays_from)


def test_without_a_path_an_answer_of_the_root_gives_it_to_all():
    assert sent(kept(morsel(), url=URL("http://gws/me")), "http://gws/x/y") == "JSESSIONID=abc"


def test_of_one_name_the_longest_path_counts():
    """Tomcat keeps one JSESSIONID for each application."""
    cookies = kept(morsel(value="of-api", path="/api"), morsel(value="of-all", path="/"))
    assert sent(cookies) == "JSESSIONID=of-api"
    assert sent(cookies, "http://gws/") == "JSESSIONID=of-all"


def test_a_secure_one_needs_tls():
    cookies = kept(morsel(path="/", secure=True), url=URL("https://gws/"))
    assert sent(cookies, "http://gws/") == ""
    assert sent(cookies, "https://gws/") == "JSESSIONID=abc"


@pytest.mark.parametrize(
    ("attributes", "lasts_s"),
    [
        ({"max_age": "60"}, 60),
        ({"max_age": "60", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 60),
        ({"expires": "Sun, 01 Mar 2026 12:01:00 GMT"}, 60),
        ({"expires": "Sun, 01-Mar-2026 12:01:00 GMT"}, 60),
        ({"expires": "Sun, 01 Mar 2026 12:01:00"}, 60),
        ({"max_age": "9" * 30}, 10**9),
    ],
)
def test_it_ends_when_it_says(attributes, lasts_s):
    cookies = kept(morsel(path="/", **attributes))
    end = NOW + timedelta(seconds=lasts_s)
    assert sent(cookies, now=end - timedelta(seconds=1)) == "JSESSIONID=abc"
    assert sent(cookies, now=end) == ""


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"max_age": "soon"},
        {"expires": "some day"},
        {"expires": "Thu, 01 Jan 2026 00:00:00 +999999999999999999"},
    ],
)
def test_one_that_does_not_say_stays(attributes):
    cookies = kept(morsel(path="/", **attributes))
    assert sent(cookies, now=NOW + timedelta(days=999)) == "JSESSIONID=abc"


@pytest.mark.parametrize(
    "attributes",
    [{"max_age": "0"}, {"max_age": "-5"}, {"expires": "Thu, 01-Jan-1970 00:00:10 GMT"}],
)
def test_a_server_can_take_it_back(attributes):
    cookies = kept(morsel(path="/"), morsel("OTHER", "1", path="/"))
    cookies.keep(URL_OF_ME, [morsel(path="/", **attributes)], now=NOW)
    assert sent(cookies) == "OTHER=1"


def test_what_the_request_brings_goes_along_unless_a_server_gave_that_name():
    """Injected cookies begin a session that GWS may renew."""
    cookies = kept(morsel(path="/"))
    assert sent(cookies, own="SAML=x; JSESSIONID=old ;") == "SAML=x; JSESSIONID=abc"
    assert sent(Cookies(), own="SAML=x") == "SAML=x"


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("a=b", "a=b"),
        (" a = b c ;Path = / ; HttpOnly", "a=b c"),
        ('a="b"; Priority=High; path=/', 'a="b"'),
        ("a=b=c; Path=/; Expires=Sun, 01 Mar 2026 12:01:00 GMT; Max-Age=", "a=b=c"),
        ("a=; PATH=/", "a="),
        ("a", ""),
        ("=b", ""),
        ("a\u00e4=b; Path=/", ""),
        ("", ""),
        ("; Path=/", ""),
    ],
)
def test_a_line_is_read_as_it_is_specified(line, header):
    """Attributes that nobody knows change nothing. Source: RFC 6265, 5.2."""
    assert sent(kept(line)) == header


@given(st.lists(st.text(st.sampled_from('ab=;, "\r\n\t\u00e4/') | st.characters(), max_size=30)))
def test_no_line_of_a_server_gets_anything_else_into_a_request(lines):
    cookies = kept(*lines)
    header = sent(cookies)
    assert header.isprintable()
    assert header.isascii()
    assert Cookies(json.loads(json.dumps(cookies.plain()))).plain() == cookies.plain()


NAMES = st.sampled_from("abc")
PATHS = st.sampled_from(["", "/", "/api", "/api/v2/me"])


@given(st.lists(st.tuples(NAMES, PATHS, st.text("xyz", max_size=3))))
def test_each_name_is_sent_once_with_the_value_given_last_for_its_path(givens):
    """A table by host, path and name, whatever comes in whatever order."""
    cookies, latest = Cookies(), {}
    for name, path, value in givens:
        cookies.keep(URL_OF_ME, [morsel(name, value, path=path)], now=NOW)
        latest[name, path or "/api/v2"] = value
    wanted = {}
    for (name, _), value in sorted(latest.items(), key=lambda item: len(item[0][1])):
        wanted[name] = f"{name}={value}"
    assert sorted(filter(None, sent(cookies).split("; "))) == sorted(wanted.values())


MORSELS = st.builds(
    morsel,
    st.sampled_from(["JSESSIONID", "BAYEUX_BROWSER", "SERVERID"]),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';,"\\'), max_size=9
    ),
    path=st.sampled_from(["", "/", "/api/v2"]),
    max_age=st.sampled_from(["", "60", "100000000000"]),
    secure=st.booleans(),
)


@given(st.lists(MORSELS, max_size=5))
def test_another_process_goes_on_with_the_same_cookies(morsels):
    """A Bayeux session is resumed only with the cookies that it began with."""
    cookies = kept(*morsels, url=URL("https://gws:8090/api/v2/me"))
    resumed = Cookies(json.loads(json.dumps(cookies.plain())))
    for url in ("https://gws:8090/api/v2/notifications", "http://gws:8090/api/v2", "https://x/"):
        assert sent(resumed, url) == sent(cookies, url)
    assert resumed.plain() == cookies.plain()


@given(
    st.lists(
        st.none() | st.integers() | st.text() | st.lists(st.none() | st.text() | st.integers())
    )
)
def test_what_is_no_cookie_is_left_out(left):
    """The row of a store may be damaged."""
    assert isinstance(Cookies(left).plain(), tuple)


@pytest.mark.parametrize(
    "plain",
    [
        ["h", "/", "a", "a=b\r\nX-Y: z", False, None],
        ["h", "/", "a", "b=c", False, None],
        ["h", "/", "a", "a=b; c=d", False, None],
        ["h", "/", "a", "a=b", False, 10**30],
        ["h", "/", "a", "a=b", 1, None],
        ["h", "/", "a", "a=b", False],
        "h/aab",
    ],
)
def test_a_damaged_cookie_is_none(plain):
    assert Cookies([plain]).plain() == ()
