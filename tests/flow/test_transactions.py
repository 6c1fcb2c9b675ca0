"""What one reply of GWS brings is one transaction, committed before the next poll asks for more."""

import json
import re

import pytest

from tests.flow.stage import staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]

ANSWER = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    do: [{reply: "You said {{ message.text }}"}]
"""


class Happened:
    """In order: the transactions that SQLite carried out, and the numbers acknowledged."""

    def __init__(self):
        self.all = []
        self._open = []

    async def watch(self, imbot, user="bot1"):
        """Look on at an imbot from now on."""
        await imbot.stores[-1]._writer.carry_out(
            lambda database: database._raw.set_trace_callback(self._note)
        )
        door = imbot.app.agents[user]._login._door
        send = door.send

        async def send_and_note(request):
            if b"/meta/connect" in (request.body or b""):
                (poll,) = json.loads(request.body)
                self.all.append(poll["ext"]["ack"])
            return await send(request)

        door.send = send_and_note

    def _note(self, statement):
        self._open.append(statement)
        if statement.startswith("COMMIT"):
            self.all.append(self._open)
            self._open = []

    def with_words(self, *words):
        """Return the places of the transactions that have a statement with all of these words."""
        return [
            place
            for place, statements in enumerate(self.all)
            if isinstance(statements, list)
            and any(all(word in statement for word in words) for statement in statements)
        ]


async def test_events_echoes_and_the_number_are_kept_together_before_the_next_poll(tmp_path):
    """Acknowledged first, a kill loses them; kept apart, it does something twice."""
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        happened = Happened()
        await happened.watch(imbot)
        call = stage.ring("3001")
        for number in range(6):
            call.say(f"word {number}")
            await stage.seconds(number * 0.02)
        await stage.seconds(10)

        heard = happened.with_words("INSERT INTO events", "word")
        proven = happened.with_words("SET state='confirmed', echo_at")
        assert (len(heard) >= 2, len(proven) >= 2) == (True, True)
        for place in heard + proven:
            (kept,) = [each for each in happened.all[place] if "INSERT INTO acks" in each]
            number = int(re.search(r"VALUES \('bot1', '[^']+', '(\d+)'", kept)[1])
            later = [each for each in happened.all[place:] if isinstance(each, int)]
            before = [each for each in happened.all[:place] if isinstance(each, int)]
            assert later[0] == number
            assert all(each < number for each in before)
