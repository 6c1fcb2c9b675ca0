"""Takes persons out of recorded events: numbers and words become pseudonyms. Pure.

The same number has the same pseudonym wherever it stands, and so has a word. What rules ask for
stays, so that they decide on a redacted recording as they did on the day itself: the words of
message triggers, and the texts that conditions compare with.
"""

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from imbot.engine.situation import Situation
from imbot.model import JSON, Event, ImSession, Participant
from imbot.rulebook.expressions import Expression
from imbot.rulebook.schema import Branch, MessageTrigger, Rule, Trigger, WaitFor
from imbot.rulebook.tree import Const, walk

_TOKEN = re.compile(r"\w+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: Shorter numbers are counts and hours, and there are too few of them for pseudonyms.
_SHORTEST_NUMBER = 3
_WORD_LENGTH = 7
#: Pseudonyms that are tried before one is shared.
_TRIES = 100

#: Words that say nothing of anybody.
_PLAIN_WORDS = frozenset({"yes", "no", "true", "false"})


def asked_for(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the words that rules ask for, in small letters."""
    texts = [text for rule in rules for text in _texts_of(rule)]
    return frozenset(word for text in texts for word in _TOKEN.findall(text.casefold()))


def _texts_of(rule: Rule) -> Iterator[str]:
    yield from _plain_texts(dict(rule.vars))
    for trigger in rule.triggers:
        yield from _awaited(trigger)
    if rule.when is not None:
        yield from _compared(rule.when)
    for instruction in rule.program.instructions:
        if isinstance(instruction, Branch):
            yield from _compared(instruction.test)
        elif isinstance(instruction, WaitFor):
            yield from _awaited(instruction.trigger)


def _awaited(trigger: Trigger) -> Iterator[str]:
    if isinstance(trigger, MessageTrigger):
        yield from trigger.texts


def _compared(expression: Expression) -> Iterator[str]:
    for node in walk(expression.tree):
        if isinstance(node, Const) and isinstance(node.value, str):
            yield node.value


def _plain_texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else ():
        yield from _plain_texts(item)
    for item in value if isinstance(value, list | tuple) else ():
        yield from _plain_texts(item)


@dataclass(slots=True)
class Redaction:
    """Gives pseudonyms, each for one thing.

    Attributes:
        key: Decides the pseudonyms; without it nobody finds out whose they are.
        kept: Words that stay, in small letters: see :func:`asked_for`.
        with_texts: Whether words stay, and only numbers are replaced.
    """

    key: bytes
    kept: frozenset[str] = frozenset()
    with_texts: bool = False
    _given: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def of(self, situation: Situation) -> Situation:
        """Return the situation without persons; why a rule did not run is only named."""
        return replace(
            situation,
            event=self._event(situation.event),
            said=tuple(map(self._message, situation.said)),
            marks={},
            running=(),
            breakers={},
            quiet="",
            suppressed=tuple(replace(no, detail="") for no in situation.suppressed),
        )

    def _event(self, event: Event) -> Event:
        fields = dict(event.fields)
        if "text" in fields:
            fields["text"] = self._message(fields["text"])
        for name in ("changed", "body"):
            if name in fields:
                fields[name] = self._plain(fields[name])
        session = None if event.session is None else self._session(event.session)
        return replace(event, fields=fields, session=session)

    def _session(self, session: ImSession) -> ImSession:
        parties = tuple(
            Participant(**{name: self._numbers(text) for name, text in party.facts().items()})
            for party in session.participants
        )
        return replace(
            session, user_data=self._plain(dict(session.user_data)), participants=parties
        )

    def _plain(self, value: JSON) -> JSON:
        """Return a value with its texts redacted; what the keys say stays."""
        if isinstance(value, str):
            return self._numbers(value) if self.with_texts else self._words(value)
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value)
        return value

    def _number(self, value: float) -> JSON:
        """Return a number without a person in it: a whole one of many digits may be somebody's."""
        digits = str(abs(value)) if isinstance(value, int) else ""
        if len(digits) < _SHORTEST_NUMBER:
            return value
        pseudonym = int(self._word(digits))
        return -pseudonym if value < 0 else pseudonym

    def _message(self, text: str) -> str:
        return text if self.with_texts else self._words(text)

    def _words(self, text: str) -> str:
        return _TOKEN.sub(lambda found: self._word(found[0]), text)

    def _numbers(self, text: str) -> str:
        """Return a text with its numbers replaced; digits that belong together count as one."""
        return re.sub(r"[0-9]+", lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        folded = word.casefold()
        is_number = folded.isdecimal()
        if folded in _PLAIN_WORDS or self._holds_kept(folded, is_number=is_number):
            return word
        if is_number and len(word) < _SHORTEST_NUMBER:
            return word
        if folded not in self._given:
            self._given[folded] = self._new(folded, is_number=is_number)
            self._taken.add(self._given[folded])
        return self._given[folded]

    def _holds_kept(self, folded: str, *, is_number: bool) -> bool:
        """Whether a rule asks for it: a number as a whole, a word also as a part."""
        if is_number or folded in self.kept:
            return folded in self.kept
        return any(word in folded for word in self.kept)

    def _new(self, folded: str, *, is_number: bool) -> str:
        pseudonym = ""
        for number in range(_TRIES):
            pseudonym = self._drawn(f"{number}:{folded}", len(folded) if is_number else 0)
            free = pseudonym not in self._taken and pseudonym != folded
            if free and not self._holds_kept(pseudonym, is_number=is_number):
                break
        return pseudonym

    def _drawn(self, seed: str, digits: int) -> str:
        """Return so many digits, or a word without any."""
        drawn = int.from_bytes(hmac.digest(self.key, seed.encode("utf-8", "replace"), "sha256"))
        if digits:
            return str(drawn % 10**digits).zfill(digits)
        letters = []
        for _ in range(_WORD_LENGTH):
            drawn, letter = divmod(drawn, len(_LETTERS))
            letters.append(_LETTERS[letter])
        return "".join(letters)
