"""A step that calls an action → its call, with its options, or every mistake in it."""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, RootModel

from imbot.plugin import Action
from imbot.rulebook import origins
from imbot.rulebook.binding import check_name
from imbot.rulebook.clearsecrets import refuse_clear_secrets
from imbot.rulebook.fitting import fit
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import Act, Retry, Value
from imbot.rulebook.scope import (
    ANY,
    BOOL,
    NUMBER,
    TEXT,
    Names,
    Type,
    any_map_of,
    list_of,
    map_of,
)
from imbot.rulebook.values import PLAIN, Places, nodes_of, read_value
from imbot.yamlfile import Entry, Kind, Node

_RETRY = frozenset({"times", "backoff"})
_RETRY_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("attempts", "count", "max", "tries", "max_attempts"), "times"),
        **dict.fromkeys(("delay", "wait", "interval", "every"), "backoff"),
    }
)
#: Arguments whose scalars become user data, and so are text as spelled.
_USER_DATA: Mapping[str, str] = MappingProxyType({"set": "", "initiate": "userData"})

#: The backoff of a ``retry`` that names none.
_FIRST_S, _LAST_S = 1.0, 60.0

_HTTP_PLACES = Places(origins.allows_secrets, origins.is_address)


@dataclass(frozen=True, slots=True)
class ActReader:
    """Reads the calls of actions in one rule or block.

    Attributes:
        desk: Where mistakes are kept.
        constants: What ``vars`` holds there.
        allowed_hosts: Origins that ``http`` may reach; None when they are not known.
    """

    desk: Desk
    constants: Mapping[str, Any]
    allowed_hosts: Sequence[str] | None

    def read(
        self, action: Action[Any], entries: Mapping[str, Entry], path: str, names: Names
    ) -> Act:
        """Return the call of an action; what it does on error is not in it."""
        entry = entries[action.name]
        args = self._args(entry, action, names)
        if action.name == origins.ACTION and "retry" in entries:
            origins.warn_of_retry(entry, entries["retry"], self.desk)
        if (bind := entries.get("as")) is not None:
            check_name(bind.value, self.desk)
        return Act(
            action=action.name,
            args=args,
            path=path,
            place=entry.key.place,
            bind=bind.value.raw if bind is not None else None,
            timeout_s=timeout_of(entries, self.desk),
            retry=self._retry(entries.get("retry")),
            even_if_completed=is_even_if_completed(entries, self.desk),
        )

    def _args(self, entry: Entry, action: Action[Any], names: Names) -> Value:
        """Return an action's arguments, checked as far as they are written out."""
        spelled = frozenset[int]()
        if (key := _USER_DATA.get(action.name)) is not None:
            data = entry.value.get(key) if key else entry.value
            spelled = frozenset() if data is None else self._user_data(data, action.name)
        spelled = fit(entry, action, self.desk, spelled)
        refuse_clear_secrets(entry, self.desk, is_sent_out=action.name == origins.ACTION)
        if action.name == origins.ACTION:
            origins.check_origin(
                entry, self.desk, constants=self.constants, allowed=self.allowed_hosts
            )
        places = _HTTP_PLACES if action.name == origins.ACTION else PLAIN
        return read_value(entry.value, names, self.desk, spelled=spelled, places=places)

    def _user_data(self, data: Node, action: str) -> frozenset[int]:
        """Return the offsets of the scalars of user data; report what cannot be written."""
        for node in nodes_of(data):
            if node.kind is Kind.NULL and node is not data:
                what, cure = f"'{action}' writes a key without a value", 'use unset, or write ""'
                self.desk.error(node.place, "missing-value", what, cure)
        scalars = (Kind.NUMBER, Kind.BOOL, Kind.NULL)
        return frozenset(node.start for node in nodes_of(data) if node.kind in scalars)

    def _retry(self, entry: Entry | None) -> Retry | None:
        """Return how often a step is tried, and when."""
        if entry is None:
            return None
        entries = self.desk.entries(entry.value, "retry", "write {times: 5, backoff: 1s..1m}")
        self.desk.keys(entries, _RETRY, of="retry", elsewhere=_RETRY_ELSEWHERE)
        if entries and self.desk.lacks(
            entry.value, "times", known=_RETRY, elsewhere=_RETRY_ELSEWHERE
        ):
            cure = "add 'times: 5'"
            self.desk.error(entry.key.place, "missing-key", "'retry' without 'times'", cure)
        times = entries.get("times")
        tries = self.desk.whole(times.value, "times", least=1, most=100) if times else None
        first_s, last_s = self._backoff(entries.get("backoff"))
        return Retry(tries or 1, first_s, last_s)

    def _backoff(self, entry: Entry | None) -> tuple[float, float]:
        """Return the seconds of the first wait and of the longest."""
        text = None if entry is None else self.desk.text(entry.value, "backoff")
        if entry is None or text is None:
            return _FIRST_S, _LAST_S
        place = entry.value.place
        if ".." not in text and "-" in text.strip("-"):
            self.desk.error(place, "bad-duration", f"'{text}' is no backoff", "write 1s..1m")
            return _FIRST_S, _LAST_S
        bounds = [self.desk.seconds(part.strip(), place) for part in text.split("..", 1)]
        if None in bounds:
            return _FIRST_S, _LAST_S
        first_s, last_s = bounds[0] or _FIRST_S, bounds[-1] or _LAST_S
        if last_s < first_s:
            what = f"the backoff {text} ends before it begins"
            self.desk.error(place, "bad-duration", what, "write the shorter time first")
        return first_s, last_s


def timeout_of(entries: Mapping[str, Entry], desk: Desk) -> float | None:
    """Return a step's time limit in seconds; None without one."""
    entry = entries.get("timeout")
    return None if entry is None else desk.duration(entry.value, "timeout")


def is_even_if_completed(entries: Mapping[str, Entry], desk: Desk) -> bool:
    """Whether a step is carried out although the session completed meanwhile."""
    entry = entries.get("even_if_completed")
    return entry is not None and bool(desk.flag(entry.value, "even_if_completed"))


def result_type(model: type[BaseModel] | None) -> Type:
    """Return what rules can see of an action's result."""
    return ANY if model is None else _type_of(model, ())


def _type_of(annotation: Any, within: tuple[object, ...]) -> Type:  # noqa: ANN401  as models have it
    """Return what is known of a value; what may be none as well may be anything."""
    if annotation in within:
        return ANY
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _type_of_model(annotation, (*within, annotation))
    inner = [_type_of(each, within) for each in get_args(annotation)]
    match get_origin(annotation):
        case builtins.list:
            return list_of(*inner)
        case builtins.dict:
            return any_map_of(inner[-1])
        case _:
            return _TYPES.get(annotation, ANY)


def _type_of_model(model: type[BaseModel], within: tuple[object, ...]) -> Type:
    """Return the type of a model's values; one that holds more than its fields has any field."""
    if model.model_config.get("extra") == "allow" or issubclass(model, RootModel):
        return any_map_of(ANY)
    return map_of(
        {
            field.alias or name: _type_of(field.annotation, within)
            for name, field in model.model_fields.items()
        }
    )


_TYPES: Mapping[object, Type] = MappingProxyType(
    {str: TEXT, int: NUMBER, float: NUMBER, bool: BOOL}
)
