"""Numbers of cards that customers write are nowhere: not in the store, the log, or a request."""

import asyncio
import logging
import re
import unicodedata
from random import Random

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from imbot.cli.sightlog import log_sight
from imbot.simulator.serving import served_in_memory
from tests.cardnumbers import card, check_digit, written

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(300)]

CARDS, MESSAGES = 10_000, 500
NOTES = "notes.test:80"

RULES = f"""
version: 1
rules:
  - id: tell
    trigger: {{message: any}}
    mode: queue
    do:
      - http: {{post: "http://{NOTES}/", json: {{text: "{{{{ message.text }}}}"}}}}
      - log: "{{{{ message.text }}}}"
      - set: {{note: "{{{{ message.text }}}}"}}
      - wait: 1s
      - reply: "You wrote: {{{{ message.text }}}}"
  - id: warn
    trigger: {{message: {{contains: ["****"]}}}}
    once: session
    do: [{{reply: "Please never write us the number of a card."}}]
"""


def numbers_in(text):
    """Return every number of 13 to 19 digits, whatever stands between them and in any script."""
    text = "".join(str(unicodedata.digit(c, c)) for c in text)
    runs = re.findall(r"\d{13,}", re.sub(r"(?<=\d)[^\w*]{1,3}(?=\d)", "", text))
    return {run[a : a + n] for run in runs for n in range(13, 20) for a in range(len(run) - n + 1)}


@pytest.fixture
async def noted(stage):
    """Serve what keeps every body that it was sent; return those."""
    bodies = []

    async def note(request):
        bodies.append(await request.text())
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", note)
    async with served_in_memory(app) as server:
        stage.servers[NOTES] = server
        yield bodies


async def test_ten_thousand_numbers_of_cards_are_kept_nowhere(stage, noted):
    random = Random(7)  # noqa: S311  reproducible
    cards = [card(random) for _ in range(CARDS)]
    parts = {"http": {"allow": [f"http://{NOTES}"]}}
    logging.getLogger().setLevel(logging.DEBUG)
    with capture_logs() as logs:
        imbot = await stage.start(RULES, **parts)
        calls = [stage.ring("3001", card=written(cards[0], random), cvv="737")]
        await stage.seconds(1)
        each = CARDS // MESSAGES
        for place in range(MESSAGES):
            some = cards[place * each : (place + 1) * each]
            calls[-1].say(f"{place}: " + ", ".join(written(number, random) for number in some))
            await stage.seconds(1)
            if place % 50 == 49:
                await stage.seconds(60)
                calls[-1].hang_up()
                await stage.seconds(5)
                if place == MESSAGES // 2 - 1:
                    imbot.kill()
                    imbot = await stage.start(RULES, **parts)
                calls.append(stage.ring("3001", note=written(cards[place], random)))
                await stage.seconds(1)
        kept = b"".join(path.read_bytes() for path in sorted(stage.folder.glob("imbot.db*")))
        await imbot.stop()
        for sight in imbot.sights:
            log_sight(sight)
    kept += b"".join(path.read_bytes() for path in sorted(stage.folder.glob("imbot.db*")))
    sent = str(noted) + str([call.heard for call in calls])

    assert len(noted) > 50  # then the loop guard finds this too much for a person
    assert "Please never" in sent
    assert "****" in kept.decode("utf-8", "replace")
    # Without a reason to look, nothing would be found: the same search finds them where they are.
    assert len(numbers_in(str([call.session.transcript for call in calls])) & {*cards}) > CARDS // 2
    found = [
        number
        for where in (kept.decode("utf-8", "replace"), str(logs), sent)
        for number in numbers_in(where) & {*cards}
    ]
    print(f"{CARDS} numbers of cards, {len(found)} kept, logged or sent")  # noqa: T201  the figure
    assert found == []
    assert b"737" not in re.findall(rb'"cvv": ?"(.*?)"', kept)


async def test_our_own_text_is_known_though_it_looks_like_the_number_of_a_card(stage):
    """Were its echo taken for the customer's, the bot would answer itself."""
    order = "62" + "1234567890123"
    order += check_digit(order)
    rule = f"""
version: 1
rules:
  - id: order
    trigger: {{message: any}}
    do:
      - set: {{order: "{order}", cvv: "123"}}
      - reply: "order {order}"
  - id: foreign
    trigger: {{userdata: order}}
    do: [{{reply: "somebody changed it"}}]
"""
    imbot = await stage.start(rule)
    call = stage.ring("3001")
    await stage.seconds(1)
    call.say("hello")
    await asyncio.sleep(300)
    imbot.kill()
    imbot = await stage.start(rule)
    await stage.seconds(300)
    call.say("again")
    await stage.seconds(30)

    assert call.heard == [f"order {order}"] * 2
    assert call.user_data["order"] == order
    assert len(stage.operations("UpdateUserData")) <= 2
    assert imbot.app.health().parked == 0
