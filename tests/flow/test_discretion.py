"""What people say, and their numbers, are not in the log of a day on which much goes wrong."""

import io
import json
import logging
import re

import pytest
import structlog
from aiohttp import web

from imbot.cli.sightlog import discreetly
from imbot.discretion import Discretion
from imbot.logs import FACT_CHARS, configure_logs
from imbot.simulator.serving import served_in_memory

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

SAID = "my mother's maiden name is Quixote"
ALSO = "and the cat is called Mephisto\x1b[2J\r\n2026-01-01 [error] forged"
NUMBER, OTHER, EXTENSION = "+4915123456789", "0171/9876543", "3001"
CANARIES = ("Quixote", "Mephisto", r"\+?4915123456789", "151 23456789", "9876543", "3001")
ODD = "odd.test:80"

PLUGIN = '''
"""Quotes what it is given, and fails."""

from imbot.plugin import Context, Model, Plugin, action


class Text(Model):
    """Arguments."""

    text: str
    """Anything."""


@action("quote", args=Text)
async def quote(ctx: Context, args: Text) -> None:
    """Fail."""
    number = ctx.event.get("participant") if hasattr(ctx.event, "get") else ""
    raise ValueError(f"cannot quote {args.text!r} of {number}")


plugin = Plugin("quote", actions=(quote,))
'''

RULES = f"""
version: 1
rules:
  - id: quote
    trigger: {{message: any}}
    mode: queue
    do:
      - log: "{{{{ participant.phoneNumber }}}} wrote {{{{ message.text }}}}; call {OTHER}"
      - quote: {{text: "{{{{ message.text }}}}"}}
        on_error: [{{log: "{{{{ error.message }}}}"}}]
      - http:
          post: "http://{ODD}/{{{{ participant.phoneNumber }}}}"
          json: {{a: "{{{{ message.text }}}}"}}
        on_error: [{{log: "{{{{ error.message }}}}"}}]
      - reply: "you wrote {{{{ message.text }}}}"
  - id: other
    trigger: {{message: any}}
    do: [{{quote: {{text: "{{{{ message.text }}}} {{{{ participant.phoneNumber }}}}"}}}}]
"""


@pytest.fixture
def logged():
    """Return a function that configures logs; what is written comes out of what that returns."""
    before = logging.getLogger().handlers[:], logging.getLogger().level

    def configure(level, style):
        out, discretion = io.StringIO(), Discretion()
        configure_logs(level, style, out, discretion=discretion)
        return out, discretion

    yield configure
    structlog.reset_defaults()
    logging.getLogger().handlers[:], level = before[0], before[1]
    logging.getLogger().setLevel(level)


@pytest.fixture
async def odd(stage):
    """Serve what answers with what it was sent, as an error."""

    async def answer(request):
        return web.Response(status=500, text=f"{request.path} {await request.text()}")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with served_in_memory(app) as server:
        stage.servers[ODD] = server
        yield


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("level", ["debug", "info", "warning"])
@pytest.mark.parametrize("style", ["json", "text"])
async def test_neither_texts_nor_numbers_are_in_the_log(stage, logged, level, style):
    out, discretion = logged(level, style)
    stage.watch = discreetly(discretion)
    (stage.folder / "plugins").mkdir()
    (stage.folder / "plugins" / "quote.py").write_text(PLUGIN)
    parts = {
        "http": {"allow": [f"http://{ODD}"]},
        "plugins": {"paths": ["plugins"]},
    }
    imbot = await stage.start(RULES, **parts)
    discretion.key = imbot.stores[-1].pseudonym_key
    for number in (NUMBER, EXTENSION):
        call = stage.ring(number)
        await stage.seconds(1)
        for text in (SAID, ALSO):
            call.say(text)
            await stage.seconds(30)
        stage.faults(drop_after=0.5, error_message=0.3, poll_reply_lost=0.3)
        call.say(f"{SAID} {OTHER}")
        await stage.seconds(300)
        stage.faults()
        call.hang_up()
        await stage.seconds(10)
    imbot.kill()
    imbot = await stage.start(RULES, **parts)
    await stage.seconds(60)
    key = imbot.stores[-1].pseudonym_key
    await imbot.stop()
    told = out.getvalue()

    assert "step.failed" in told
    assert re.findall(rf"(?<![0-9.])(?:{'|'.join(CANARIES)})(?![0-9])", told) == []
    assert "\x1b[2J" not in told
    assert not re.search("^2026-01-01", told, re.MULTILINE)
    assert (discretion.pseudonym(NUMBER) in told) is (level != "warning")
    assert key == discretion.key
    if style == "json":
        facts = [json.loads(line) for line in told.splitlines()]
        assert all(len(str(fact)) < FACT_CHARS + 100 for line in facts for fact in line.values())
