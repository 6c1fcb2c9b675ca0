"""The plugin of one's own at work, from its source folder, on the simulator."""

from imbot.simulator.parties import Expect, Say
from tests.wire.test_examples import converse

NAME = "04-own-plugin"


async def test_04_answers_from_its_table_and_notes_the_topic(tmp_path):
    """What it does not know, the rule says."""
    went, session = await converse(
        NAME,
        tmp_path,
        [Say("Where is the PARKING?"), Expect("Behind the house"), Say("Why?"), Expect("I do not")],
        options=["plugins.paths=[src/]"],
    )

    assert went.missed == ()
    assert session.user_data["faq"] == "parking"
