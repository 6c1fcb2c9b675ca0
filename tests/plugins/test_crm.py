"""``crm.lookup`` and ``crm.upsert`` over the REST contract of docs/reference/crm.md."""

import pytest
from pydantic import ValidationError

from imbot.plugin import PermanentError, TemporaryError
from imbot.testing.plugin_context import Asked, FakeContext, answer

URL = "https://crm.example/v1"
ADA = {"id": 7, "firstName": "Ada", "lastName": "Byron", "tier": None, "vip": True, "n": 3}


@pytest.fixture
def options(module_of):
    """Options of the plugin."""
    return module_of("crm.lookup").Options(url=f"{URL}/", token="t0ken")


@pytest.fixture
def crm(options):
    """Return a function that gives a context whose CRM answers so."""
    return lambda *answers, **given: FakeContext(options=options, answers=[*answers], **given)


async def test_the_customer_of_the_number_is_read_into_user_data(actions, crm):
    """The other party's digits are the number; what the CRM does not know is left out."""
    fake = crm(answer(ADA))

    result = await fake.run(actions["crm.lookup"], {})

    assert fake.asked == [
        Asked(
            "GET",
            {"url": f"{URL}/contacts?number=3002", "headers": {"Authorization": "Bearer t0ken"}},
        ),
        Asked(
            "update_user_data",
            {"user_data": {"customerId": "7", "firstName": "Ada", "lastName": "Byron"}},
        ),
    ]
    assert result == {"found": True, "id": "7", "firstName": "Ada", "lastName": "Byron"}


async def test_number_and_fields_may_be_said(actions, crm):
    """The number is percent-encoded; flags and numbers become text."""
    fake = crm(answer(ADA))

    result = await fake.run(actions["crm.lookup"], {"number": "+49 1", "fields": ["vip", "n"]})

    assert fake.asked[0].given["url"] == f"{URL}/contacts?number=%2B49+1"
    assert result == {"found": True, "id": "7", "vip": "true", "n": "3"}


async def test_a_number_that_the_crm_does_not_know_is_a_result(actions, crm):
    """Most callers are strangers."""
    fake = crm(answer(status=404))

    assert await fake.run(actions["crm.lookup"], {}) == {"found": False, "id": None}
    assert len(fake.asked) == 1


@pytest.mark.parametrize("state", ["Completed", None])
async def test_where_no_user_data_can_be_written_the_result_still_tells(actions, crm, state):
    """A session that is over takes none, and an event may have no session."""
    session = None if state is None else {"id": "s", "state": state, "userData": {}}
    fake = crm(answer(ADA), session=session)

    assert (await fake.run(actions["crm.lookup"], {"number": "1"}))["found"]
    assert len(fake.asked) == 1


@pytest.mark.parametrize("participant", [None, {}, {"digits": ""}])
async def test_without_a_number_there_is_nothing_to_look_up(actions, crm, participant):
    """An anonymous caller."""
    with pytest.raises(PermanentError, match="the other party has no number"):
        await crm(participant=participant).run(actions["crm.lookup"], {})


@pytest.mark.parametrize(
    "body", [None, [], {}, {"id": None}, {"id": ""}, {"id": 1.5}, {"ID": 7}, "x"]
)
async def test_an_answer_that_is_no_contact_is_a_permanent_error(actions, crm, body):
    """A CRM behind a login page answers 200 with anything."""
    with pytest.raises(PermanentError, match="no contact with an 'id'"):
        await crm(answer(body)).run(actions["crm.lookup"], {})


async def test_a_field_that_is_no_text_fails_the_step(actions, crm):
    """A list in user data would be somebody else's riddle."""
    fake = crm(answer({"id": 7, "tier": ["gold"]}))

    with pytest.raises(PermanentError, match="user data 'tier' must be text"):
        await fake.run(actions["crm.lookup"], {})


async def test_the_interaction_is_put_to_its_customer(actions, crm):
    """Under the session's id, so that twice is once; both ids are percent-encoded."""
    fake = crm(answer(status=204))
    fake.session.update(id="a/b", userData={"customerId": "c/1"})

    await fake.run(actions["crm.upsert"], {"json": {"topic": "x"}})

    assert fake.asked == [
        Asked(
            "PUT",
            {
                "url": f"{URL}/contacts/c%2F1/interactions/a%2Fb",
                "headers": {"Authorization": "Bearer t0ken"},
                "json": {"topic": "x"},
            },
        )
    ]


async def test_the_customer_of_an_interaction_may_be_said(actions, crm):
    """Numbers are as good as text."""
    fake = crm(answer())

    await fake.run(actions["crm.upsert"], {"id": 9})

    assert "/contacts/9/" in fake.asked[0].given["url"]


@pytest.mark.parametrize(
    ("session", "why"),
    [
        (None, "there is no session to write about"),
        ({"id": "s", "userData": {}}, "no customerId; look the customer up first"),
    ],
)
async def test_without_session_or_customer_there_is_nothing_to_write(actions, crm, session, why):
    """Surely not done, and trying again will not help."""
    with pytest.raises(PermanentError, match=why):
        await crm(session=session).run(actions["crm.upsert"], {})


@pytest.mark.parametrize("name", ["crm.lookup", "crm.upsert"])
async def test_a_crm_that_is_down_is_asked_again(actions, crm, name):
    """Both may be repeated."""
    fake = crm(answer(status=503, headers={"retry-after": "9"}))
    fake.session["userData"]["customerId"] = "7"

    with pytest.raises(TemporaryError) as caught:
        await fake.run(actions[name], {})

    assert caught.value.retry_after_s == 9
    assert actions[name].repeatable(actions[name].args())


@pytest.mark.parametrize("name", ["crm.lookup", "crm.upsert"])
async def test_without_options_the_cure_is_told(actions, fake, name):
    """`imbot check` without settings lets the rule pass."""
    fake.session["userData"]["customerId"] = "7"

    with pytest.raises(PermanentError, match=r"set plugins[.]options[.]crm[.]url in the settings"):
        await fake.run(actions[name], {})


async def test_without_a_token_none_is_sent(actions, module_of):
    """An inner CRM may ask for none."""
    fake = FakeContext(options=module_of("crm.lookup").Options(url=URL), answers=[answer(ADA)])

    await fake.run(actions["crm.lookup"], {})

    assert "headers" not in fake.asked[0].given


@pytest.mark.parametrize("url", ["crm.example", "https://", "https://crm/a?b", "https://a b"])
def test_a_url_that_cannot_be_built_upon_is_refused(module_of, url):
    """At the start, not at the first customer."""
    with pytest.raises(ValidationError):
        module_of("crm.lookup").Options(url=url)
