"""One test per row of the classification: what an answer means, and whether it proves anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import AmbiguousError, FaultClass, PermanentError, TemporaryError
from imbot.gws.faults import fault_of, meaning_of, status_code
from imbot.ports import Reply

T, A, P = TemporaryError, AmbiguousError, PermanentError


def judged(status, body=None, raw=b"", **more):
    """Return class and branch of such an answer to an operation; None when it is right."""
    trouble = fault_of(Reply(status, {}, raw), body, **({"writes": True} | more))
    return None if trouble is None else (trouble[0].fault_class.value, trouble[1])


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (1, 400, ("input", P)),
        (2, 409, ("conflict", T)),
        (2, 200, ("conflict", T)),
        (3, 403, ("permission", P)),
        (4, 500, ("server", T)),
        (5, 403, ("permission", P)),
        (6, 404, ("gone", P)),
        (6, 200, ("gone", P)),
        (7, 200, ("server", A)),
        (8, 403, ("permission", P)),
        (9, 200, ("server", A)),
        (10, 400, ("input", P)),
        (11, 400, ("input", P)),
        (12, 500, ("server", T)),
        (13, 500, ("server", P)),
        (14, 500, ("server", P)),
        (15, 500, ("server", P)),
        (16, 500, ("server", P)),
        (17, 500, ("server", P)),
        (18, 409, ("conflict", P)),
        (19, 409, ("conflict", T)),
        (20, 403, ("auth", T)),
        (20, 200, ("auth", T)),
        (21, 500, ("server", A)),
        (-1, 200, ("server", A)),
        ("4", 500, ("server", T)),
    ],
)
def test_the_status_code_decides_before_the_http_status(code, status, expected):
    """GWS: an error means that nothing was modified; 7, 9 and the unknown do not say so."""
    assert judged(status, {"statusCode": code}) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, ("server", A)),
        (204, ("server", A)),
        *((status, ("auth", A)) for status in (301, 302, 303, 307, 308)),
        *((status, ("input", P)) for status in (400, 405, 406, 411, 413, 414, 415, 417, 422, 431)),
        (401, ("auth", T)),
        (403, ("auth", T)),
        (404, ("gone", P)),
        (408, ("server", T)),
        (410, ("gone", P)),
        (418, ("server", A)),
        (429, ("server", T)),
        *((status, ("server", A)) for status in (500, 502, 503, 504)),
    ],
)
def test_without_json_the_http_status_decides(status, expected):
    """5xx, or 200 without JSON, after an operation prove nothing: it may have been done."""
    assert judged(status, None, b"<html>") == expected


def test_what_is_in_doubt_after_an_operation_is_just_temporary_after_a_get():
    """A GET does nothing, so it can be asked again."""
    assert judged(502, None, writes=False) == ("server", T)
    assert judged(302, None, writes=False) == ("auth", T)


@pytest.mark.parametrize(
    ("body", "writes", "expected"),
    [
        ({"statusCode": 0}, True, None),
        ({"statusCode": "0"}, True, None),
        ({"status": "ok"}, True, None),
        ({"status": "error", "errorDescription": "x"}, True, ("server", T)),
        ({"status": "odd"}, True, ("server", A)),
        ({"id": "S1"}, False, None),
        ({"id": "S1"}, True, ("server", A)),
        ([], True, ("server", A)),
        ([], False, ("server", T)),
        ({"statusCode": True}, True, ("server", A)),
        ({"statusCode": 1.5}, True, ("server", A)),
    ],
)
def test_a_success_must_say_so(body, writes, expected):
    """Legacy pages answer {"status": "ok"} (row 26); a bare object answers a GET only (row 15)."""
    assert judged(200, body, writes=writes) == expected


def test_a_zero_under_a_server_error_is_in_doubt():
    assert judged(500, {"statusCode": 0}) == ("server", A)


def test_a_partial_success_is_for_who_looks_into_it():
    assert judged(200, {"statusCode": 7}, partial_is_ok=True) is None


@pytest.mark.parametrize(
    ("body", "raw"),
    [
        (None, b"Missing or invalid Csrf token"),
        ({"statusCode": 3, "statusMessage": "Missing or invalid CSRF token"}, b""),
    ],
)
def test_a_refused_csrf_token_is_known_by_its_text(body, raw):
    """It is told from a lost login so that one GET cures it."""
    assert judged(403, body, raw) == ("csrf", T)


@pytest.mark.parametrize("code", [2, 4, 10])
def test_row_17_invalid_state_is_a_conflict_by_code_or_text(code):
    """The wording is documented, the code is not."""
    assert judged(500, {"statusCode": code, "statusMessage": "Invalid State."}) == ("conflict", T)


@pytest.mark.parametrize(
    "body",
    [
        {"statusMessage": "Invalid state"},
        {"status": "error", "errorDescription": "Operation has invalid state"},
    ],
)
def test_row_17_invalid_state_needs_no_code(body):
    """Older editions answer without one; the text is the only hint then."""
    assert judged(500, body) == ("conflict", T)


def test_a_404_of_the_collection_means_that_the_feature_is_off():
    assert judged(404, None, item=False) == ("permission", P)
    assert judged(404, {"statusCode": 6}, item=False) == ("permission", P)


def test_the_fault_keeps_what_people_need():
    fault, _ = fault_of(
        Reply(503, {}, b"<h1>busy</h1>\n  " + b"x" * 500), None, writes=True, retry_after_s=3.0
    )

    assert (fault.http_status, fault.status_code, fault.retry_after_s) == (503, None, 3.0)
    assert fault.text.startswith("<h1>busy</h1> xxx")
    assert len(fault.text) == 200


def test_a_json_error_without_text_has_none():
    fault, _ = fault_of(Reply(500, {}, b"{}"), {"statusCode": 4, "statusMessage": 5}, writes=True)

    assert fault.text == ""


@given(st.integers())
def test_an_unlisted_code_proves_nothing(code):
    if code not in range(1, 21):
        assert meaning_of(code).error is AmbiguousError
    assert isinstance(meaning_of(code).fault_class, FaultClass)


@given(st.none() | st.text() | st.floats() | st.lists(st.integers()))
def test_a_status_code_is_a_number_or_its_digits(value):
    code = status_code({"statusCode": value})

    assert code is None or str(value).strip().isdecimal()


@given(
    st.integers(100, 599),
    st.none()
    | st.dictionaries(st.sampled_from(["statusCode", "status"]), st.integers() | st.text()),
    st.binary(max_size=50),
)
def test_only_a_2xx_is_ever_right(status, body, raw):
    if judged(status, body, raw) is None:
        assert 200 <= status < 300
