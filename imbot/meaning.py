"""Words of a closed set that say what they mean: to editors, and to the pages of the reference."""

from enum import StrEnum
from typing import Self


class Meant(StrEnum):
    """A word, and what it means, in one sentence for people.

    Attributes:
        means: The sentence.
    """

    _value_: str
    means: str

    def __new__(cls, word: str, means: str = "") -> Self:
        """Return the word with its meaning."""
        made = str.__new__(cls, word)
        made._value_ = word
        made.means = means
        return made
