"""Words that say what they mean are words all the same."""

import json
import pickle

from imbot.meaning import Meant


class Colour(Meant):
    RED = "red", "As blood."
    BLUE = "blue", "As the sky."


def test_a_word_is_found_by_itself_and_tells_its_meaning():
    """Rows of the store and rule files hold the word alone."""
    assert Colour("red") is Colour.RED
    assert [(word.value, word.means) for word in Colour] == [
        ("red", "As blood."),
        ("blue", "As the sky."),
    ]


def test_a_word_is_text_wherever_it_goes():
    assert f"{Colour.RED} {Colour.BLUE!s}" == "red blue"
    assert json.dumps(Colour.RED) == '"red"'
    assert pickle.loads(pickle.dumps(Colour.RED)) is Colour.RED  # noqa: S301  our own bytes
    assert Colour.RED == "red"
