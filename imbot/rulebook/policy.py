"""How a rule runs, beside trigger and steps: switches, order, turns, once, limits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import Budget, Mode, Once, OnceScope, Rule, Throttle
from imbot.rulebook.scope import Names
from imbot.yamlfile import Entry, Kind, Node

#: The age at which an event no longer starts a rule that replies, unless the rule says otherwise.
REPLY_MAX_AGE_S = 60.0

#: The keys of a rule that are read here.
POLICY_KEYS = frozenset(
    {
        *("description", "enabled", "shadow", "when", "key", "mode", "max", "once", "throttle"),
        *("max_age", "priority", "final", "budget", "loop_guard"),
    }
)
_THROTTLE = frozenset({"once_within", "by"})
_THROTTLE_CURE = "write it like {once_within: 30s}"
_BUDGET = frozenset({"per_session", "per_minute"})
_BUDGET_CURE = "write it like {per_session: 5, per_minute: 60}"
_MOST_RUNS = 10_000
_MOST_EFFECTS = 1_000_000
_LARGEST_PRIORITY = 10**9


def with_policy(rule: Rule, entries: Mapping[str, Entry], names: Names, desk: Desk) -> Rule:
    """Return the rule with everything but trigger and steps; in shadow what was so before."""
    read = _Reader(entries, names, desk)
    return replace(
        rule,
        description=read.text("description"),
        enabled=read.flag("enabled", default=True),
        shadow=read.flag("shadow", default=False) or rule.shadow,
        final=read.flag("final", default=False),
        loop_guard=read.flag("loop_guard", default=True),
        when=None if (node := read.value("when")) is None else desk.all_of(node, names, "when"),
        key=None if (node := read.value("key")) is None else desk.expression(node, names, "key"),
        mode=read.mode(),
        max_runs=read.max_runs(),
        once=read.once(),
        throttle=read.throttle(),
        budget=read.budget(),
        max_age_s=read.max_age_s(replies=rule.replies),
        priority=read.priority(),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one key of a rule after the other."""

    entries: Mapping[str, Entry]
    names: Names
    desk: Desk

    def value(self, key: str) -> Node | None:
        return self.entries[key].value if key in self.entries else None

    def text(self, key: str) -> str:
        node = self.value(key)
        return "" if node is None else self.desk.text(node, key) or ""

    def flag(self, key: str, *, default: bool) -> bool:
        node = self.value(key)
        found = None if node is None else self.desk.flag(node, key)
        return default if found is None else found

    def mode(self) -> Mode:
        node = self.value("mode")
        word = None if node is None else self.desk.word(node, Mode, "mode")
        return Mode.SINGLE if word is None else Mode(word)

    def max_runs(self) -> int | None:
        """Return the most runs at a time of the mode parallel."""
        mode = self.value("mode")
        is_parallel = mode is not None and mode.raw == Mode.PARALLEL
        if (entry := self.entries.get("max")) is None:
            if mode is not None and is_parallel:
                what = "'mode: parallel' without 'max' lets any number of runs go on at once"
                self.desk.warn(mode.place, "missing-key", what, "add such as 'max: 10'")
            return None
        if not is_parallel:
            what, cure = "'max' says nothing without the mode parallel", "add 'mode: parallel'"
            self.desk.error(entry.key.place, "unknown-key", what, cure)
        return self.desk.whole(entry.value, "max", least=1, most=_MOST_RUNS)

    def max_age_s(self, *, replies: bool) -> float | None:
        if (node := self.value("max_age")) is None:
            return REPLY_MAX_AGE_S if replies else None
        return self.desk.duration(node, "max_age")

    def priority(self) -> int:
        node, bound = self.value("priority"), _LARGEST_PRIORITY
        found = (
            None if node is None else self.desk.whole(node, "priority", least=-bound, most=bound)
        )
        return found or 0

    def once(self) -> Once | None:
        if (node := self.value("once")) is None:
            return None
        words = [scope.value for scope in OnceScope if scope is not OnceScope.EXPRESSION]
        if node.raw in words:
            return self._once_in(OnceScope(node.raw), node)
        if node.kind in (Kind.BOOL, Kind.NUMBER):
            what, cure = f"'once' cannot be {node.raw}", "write session, participant or day"
            self.desk.error(node.place, "wrong-type", what, cure)
            return None
        by = self.desk.expression(node, self.names, "once")
        return None if by is None else Once(OnceScope.EXPRESSION, by)

    def _once_in(self, scope: OnceScope, node: Node) -> Once:
        if "session" not in self.names.types:
            what = f"'once: {scope}' is about a session, and no trigger of this rule has one"
            self.desk.error(node.place, "no-session", what, "write 'throttle: {once_within: 1d}'")
        return Once(scope)

    def throttle(self) -> Throttle | None:
        entries = self._map("throttle", _THROTTLE, _THROTTLE_CURE, needs="once_within")
        within, by = entries.get("once_within"), entries.get("by")
        within_s = None if within is None else self.desk.duration(within.value, "once_within")
        each = None if by is None else self.desk.expression(by.value, self.names, "by")
        return None if within_s is None else Throttle(within_s, each)

    def budget(self) -> Budget | None:
        entries = self._map("budget", _BUDGET, _BUDGET_CURE)
        if (one := entries.get("per_session")) is not None and "session" not in self.names.types:
            what = "'per_session' is about a session, and no trigger of this rule has one"
            self.desk.error(one.key.place, "no-session", what, "use per_minute")
        most = {
            key: self.desk.whole(entry.value, key, least=1, most=_MOST_EFFECTS)
            for key, entry in entries.items()
            if key in _BUDGET
        }
        return Budget(**most) if most else None

    def _map(
        self, key: str, keys: frozenset[str], cure: str, *, needs: str = ""
    ) -> Mapping[str, Entry]:
        """Return the entries of a map that has some of these keys, and all that it needs."""
        if (entry := self.entries.get(key)) is None:
            return {}
        entries = self.desk.entries(entry.value, key, cure)
        self.desk.keys(entries, keys, of=key)
        is_lacking = needs and self.desk.lacks(entry.value, needs, known=keys)
        if entry.value.kind is Kind.MAP and (is_lacking or not entries):
            what = f"'{key}' without {needs or ' or '.join(sorted(keys, reverse=True))}"
            self.desk.error(entry.key.place, "missing-key", what, cure)
        return entries
