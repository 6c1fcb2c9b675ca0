"""Takes persons and secrets out of what is logged: what they say, and their phone numbers.

A number becomes a pseudonym, the same one as long as the key is the same: who reads the log can
follow one person, and cannot call. What people said not long ago is cut out wherever it stands, for
an error of a plugin may quote it.
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

import phonenumbers

from imbot.model import JSON

#: A shorter text is no more than a word, which may stand anywhere.
_SHORTEST_TEXT = 8
#: So many texts and numbers are known, the last ones.
_TEXTS, _NUMBERS = 200, 1000
#: What is written in another way where a text is quoted, by Python and by JSON.
_QUOTED = re.compile(r"[\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\"'\\]+")
_ESCAPED = re.compile(r"[^ !#-&(-\[\]-~]+")
#: What stands for what somebody said.
SAID = "[message]"

#: What stands for a secret.
HIDDEN = "[secret]"
_SHORTEST_SECRET = 6

#: Digits, alone or as people group them, that begin and end as a word does; dots group them only
#: behind the country code, for without one they are a version, an address or an amount.
_NUMBER = re.compile(
    r"(?:(?<![\w.@#-])|(?<=%2[Bb]))"
    r"(?:\+[0-9](?:[ .()/-]{0,3}[0-9])*|\(?[0-9](?:[ ()/-]{0,3}[0-9])*)(?![\w.:@-]*\w)"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: Fewer digits are counts, and more are no phone number.
_FEWEST, _MOST = 7, 15
_SHORTEST_EXTENSION = 3

#: Facts that name things of imbot and GWS; no person is in them.
NAMES = frozenset(
    {"timestamp", "level", "event", "session", "agent", "id", "run", "rule", "effect", "action"}
    | {"place", "version", "device", "numbers", "plugin", "path", "order", "by", "kind", "logger"}
)


class Discretion:
    """Knows who and what is not to be told.

    Args:
        country: Country of numbers without a country code.

    Attributes:
        key: Decides the pseudonyms; without it nobody finds out whose they are.
    """

    def __init__(self, country: str = "DE") -> None:
        self.country = country
        self.key = b""
        self._secrets: re.Pattern[str] | None = None
        self._texts: OrderedDict[str, None] = OrderedDict()
        self._numbers: OrderedDict[str, None] = OrderedDict()

    def hear(self, text: str) -> None:
        """Cut this out of what is told from now on, also where it is told in quotes."""
        for piece in (*_QUOTED.split(text), *_ESCAPED.split(text)):
            if len(piece := piece.strip()) >= _SHORTEST_TEXT:
                _keep(self._texts, piece, _TEXTS)

    def hide(self, secrets: Iterable[str]) -> None:
        """Cut these out of whatever is told, names too; very short ones could be any word."""
        known = sorted({each for each in secrets if len(each) >= _SHORTEST_SECRET}, key=len)
        written = "|".join(map(re.escape, reversed(known)))
        self._secrets = re.compile(written, re.IGNORECASE) if known else None

    def know(self, number: str) -> None:
        """Take this for somebody's number, however short it is."""
        if len(digits := _digits(number)) >= _SHORTEST_EXTENSION:
            _keep(self._numbers, digits, _NUMBERS)

    def facts(self, facts: Mapping[str, JSON]) -> dict[str, JSON]:
        """Return the facts of a line as they may be told."""
        own = {fact for name, fact in facts.items() if name in NAMES and isinstance(fact, str)}
        cut, hide = _Cut(self.text, own), _Cut(self._without_secrets, own)
        return {name: (hide if name in NAMES else cut).of(fact) for name, fact in facts.items()}

    def text(self, text: str, own: frozenset[str] | set[str] = frozenset()) -> str:
        """Return a text as it may be told.

        Args:
            text: From anywhere.
            own: Numbers that are no person's: ids that the line tells.
        """
        text = self._without_secrets(text)
        for said in reversed(self._texts):
            if said in text:
                text = text.replace(said, SAID)
        return _NUMBER.sub(lambda found: self._told(found[0], own), text)

    def pseudonym(self, number: str) -> str:
        """Return what stands for a number, however it is written; its last two digits stay."""
        digits = self._canonical(number)
        drawn = hmac.digest(self.key, digits.encode(), "sha256").hex()[:8]
        return f"tel-{drawn}-{digits[-2:]}"

    def _without_secrets(self, text: str, _own: object = None) -> str:
        return text if self._secrets is None else self._secrets.sub(HIDDEN, text)

    def _told(self, found: str, own: frozenset[str] | set[str]) -> str:
        digits = _digits(found)
        is_date = not found.startswith("+") and _DATE.search(found) is not None
        is_long = _FEWEST <= len(digits) <= _MOST and not is_date
        if found in own or not (is_long or digits in self._numbers):
            return found
        return self.pseudonym(found)

    def _canonical(self, number: str) -> str:
        """Return the digits with the country, where it is a number of a country."""
        try:
            parsed = phonenumbers.parse(number, self.country)
        except phonenumbers.NumberParseException:
            return _digits(number)
        if not phonenumbers.is_possible_number(parsed):
            return _digits(number)
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return e164.removeprefix("+")


class _Cut:
    """Cuts plain values of any depth."""

    def __init__(self, cut: Callable[[str, set[str]], str], own: set[str]) -> None:
        self._cut = cut
        self._own = own

    def of(self, value: JSON) -> JSON:
        if isinstance(value, str):
            return self._cut(value, self._own)
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        return [self.of(item) for item in value] if isinstance(value, list | tuple) else value


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")


def _keep(known: OrderedDict[str, None], what: str, most: int) -> None:
    known[what] = None
    known.move_to_end(what)
    if len(known) > most:
        known.popitem(last=False)
