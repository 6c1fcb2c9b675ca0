"""One rule by itself, step by step: what cannot succeed, is never reached, or starts it again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

from imbot.model import SessionState
from imbot.plugin import Action, Operation
from imbot.problems import Place, Problem
from imbot.rulebook.contradictions import terms
from imbot.rulebook.findings import error, warning
from imbot.rulebook.functions import STATES_FOR
from imbot.rulebook.programs import end_of, on_the_way, where_it_began, with_session
from imbot.rulebook.schema import (
    Act,
    Branch,
    Enter,
    Fork,
    Instruction,
    Leave,
    Let,
    Log,
    OnceScope,
    Rule,
    StateTrigger,
    Stop,
    UserdataTrigger,
    Wait,
    WaitFor,
)
from imbot.rulebook.scope import WITHOUT_SESSION, Names
from imbot.rulebook.sessionstates import (
    AT_THE_END,
    and_later,
    can_happen,
    is_live,
    is_the_end,
    narrowed,
    rank,
    states_after,
)
from imbot.rulebook.written import (
    is_ruled_out,
    names_agent,
    templates_of,
    text_of,
    user_data_written,
)

#: What a session that we begin comes to, if the other party takes it.
_OF_ANY_NEW_SESSION = frozenset({SessionState.INITIATING, SessionState.TALKING})
#: More is refused by the wire; what templates make is cut off at the same size.
LONGEST_MESSAGE_BYTES = 8192

#: Names that only triggers about a session supply.
_OF_SESSIONS = frozenset({"session", "participant", "agent"})

#: What its author wrote as a step.
_Written: TypeAlias = Act | Let | Branch | Stop | Log | Wait | WaitFor | Fork | Enter
#: What may be marked to be done although the session is over.
_Marked: TypeAlias = Act | Log | Wait | WaitFor


@dataclass(frozen=True)
class Running:
    """A rule that may run, looked at step by step."""

    rule: Rule
    actions: Mapping[str, Action[Any]]

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is wrong with the rule by itself."""
        yield from self._without_session()
        yield from self._withheld()
        yield from self._after_the_end()
        yield from self._odd_messages()
        yield from self._loops()

    @property
    def _steps(self) -> list[tuple[int, Instruction]]:
        return list(enumerate(self.rule.program.instructions))

    @property
    def _acts(self) -> list[tuple[int, Act]]:
        """Its calls of actions, in written order."""
        return [(pc, step) for pc, step in self._steps if isinstance(step, Act)]

    @cached_property
    def _on_the_way(self) -> frozenset[int]:
        return on_the_way(self.rule.program)

    def _needs(self, step: Instruction) -> Operation | None:
        """The operation without which a step cannot succeed."""
        return self.actions[step.action].needs if isinstance(step, Act) else None

    @property
    def _begins(self) -> frozenset[int]:
        """Its calls of actions that begin a session."""
        acts = self._acts
        return frozenset(pc for pc, act in acts if self._needs(act) is Operation.INITIATE)

    def _here(self, pc: int) -> str:
        """Which rule a step of a block is about; empty for a step of the rule itself."""
        return f" (called by '{self.rule.id}')" if pc in self.rule.program.frames else ""

    # What needs a session

    def _without_session(self) -> Iterator[Problem]:
        """Yield each step that needs a session, or an agent, where the rule has none."""
        kinds = {trigger.kind for trigger in self.rule.triggers}
        if not kinds & WITHOUT_SESSION:
            return
        for _, act in self._acts:
            if self._needs(act) is Operation.INITIATE and not names_agent(act):
                report = warning if kinds - WITHOUT_SESSION else error
                what = f"'{act.action}' needs 'agent' where no agent's event starts the rule"
                cure = "add 'agent: any', or an agent's user name"
                yield report(act.place, "missing-argument", what, cure)
        if kinds - WITHOUT_SESSION:
            return
        yield from self._unseen_in_blocks(frozenset(kinds))
        reached = with_session(self.rule.program, self._begins)
        for pc, step in self._steps:
            needs = self._needs(step)
            if pc in reached or needs is Operation.INITIATE:
                continue
            if isinstance(step, Act) and needs is not None:
                yield self._no_session(pc, step.action, step.place)
            elif isinstance(step, WaitFor):
                yield self._no_session(pc, "wait_for", step.place)

    def _unseen_in_blocks(self, kinds: frozenset[str]) -> Iterator[Problem]:
        """Yield each call of a block that cannot do without what no trigger of the rule supplies.

        A step of the rule itself that looks at such a name was refused when it was read.
        """
        unseen = _OF_SESSIONS - Names.for_trigger(kinds).types.keys()
        told: set[tuple[Place, str]] = set()
        for pc in self.rule.program.frames:
            call = self._outermost(pc)
            for template in templates_of(self.rule.program.instructions[pc]):
                for name in sorted(template.names_needed & unseen):
                    if (call.place, name) not in told:
                        told.add((call.place, name))
                        what = f"no trigger of this rule supplies '{name}', at which "
                        what += f"the block '{call.block}' looks ({template.place})"
                        cure = "call it in another rule, or make an input of what it needs"
                        yield error(call.place, "unknown-name", what, cure)

    def _outermost(self, pc: int) -> Enter:
        """Return the rule's own call to which an instruction of a block leads back."""
        program = self.rule.program
        while (above := program.frames.get(pc)) is not None:
            pc = above
        return cast("Enter", program.instructions[pc])

    def _no_session(self, pc: int, name: str, place: Place) -> Problem:
        what = f"'{name}' needs a session, and the rule has none{self._here(pc)}"
        return error(place, "no-session", what, "begin one with 'initiate' before it")

    # What the state forbids

    @property
    def _states(self) -> frozenset[str]:
        """The states that the session may be in when the rule starts."""
        after = map(states_after, self.rule.triggers)
        return narrowed(frozenset[str]().union(*after), terms(self.rule))

    def _withheld(self) -> Iterator[Problem]:
        """Yield each step that the session's state forbids from when the rule starts."""
        states = self._states
        outside: list[tuple[int, frozenset[str]]] = []  # where a branch ends, and what holds there
        for pc, step in self._steps:
            while outside and pc >= outside[-1][0]:
                states = outside.pop()[1]
            if not states:
                return
            needs = self._needs(step)
            if needs is Operation.INITIATE:
                yield from self._busy(pc, step)
                return  # from here on steps are about the new session
            if isinstance(step, WaitFor):
                yield from self._never_ends(pc, step, states)
            if isinstance(step, Wait | WaitFor):
                states = and_later(states)
                outside = [(end, and_later(each)) for end, each in outside]
            elif isinstance(step, Branch):
                outside.append((step.otherwise, states))
                states = narrowed(states, step.test.tests) or states
            elif isinstance(step, Act) and needs is not None:
                yield from self._forbidden(pc, step, needs, states)

    def _forbidden(
        self, pc: int, act: Act, needs: Operation, states: frozenset[str]
    ) -> Iterator[Problem]:
        if STATES_FOR.get(needs, states) & states:
            return
        if states == AT_THE_END:
            what = f"'{act.action}' cannot succeed: the session is Completed when the rule runs"
            cure = "use 'state: Talking', or another step"
            yield error(act.place, "dead-step", what + self._here(pc), cure)
        else:
            shown = " or ".join(sorted(states))
            what = f"'{act.action}' is withheld while the session is {shown}{self._here(pc)}"
            yield warning(act.place, "dead-step", what, "use 'state: Talking'")

    def _busy(self, pc: int, step: Instruction) -> Iterator[Problem]:
        """Yield the problem of beginning a session for an agent that has one: GWS allows one."""
        is_marked = isinstance(step, Act) and (names_agent(step) or step.even_if_completed)
        if not isinstance(step, Act) or is_marked or not all(map(is_live, self.rule.triggers)):
            return
        what = f"'{step.action}' without 'agent' is for the session's agent, who is busy with it"
        cure = "add 'agent: any', or an agent's user name"
        yield warning(step.place, "dead-step", what + self._here(pc), cure)

    def _never_ends(self, pc: int, wait: WaitFor, states: frozenset[str]) -> Iterator[Problem]:
        """Yield the problem of waiting for what cannot happen any more."""
        if can_happen(wait.trigger, states):
            if wait.timeout_s is None and not wait.even_if_completed and is_the_end(wait.trigger):
                what = f"the session's end ends the run before this 'wait_for'{self._here(pc)}"
                cure = "add 'even_if_completed: true', or a timeout"
                yield warning(wait.place, "never-ends", what, cure)
            return
        shown = " or ".join(sorted(states, key=rank))
        why = f"it cannot happen any more once the session is {shown}{self._here(pc)}"
        yield _endless(wait, why)

    def _after_the_end(self) -> Iterator[Problem]:
        """Yield the first step of each block that stands after what ends the run."""
        program = self.rule.program
        ended: dict[tuple[int | None, str], Act | Stop] = {}
        for pc, step in self._steps:
            if isinstance(step, Leave):
                enter = program.instructions[step.enter]
                inside = ended.pop((step.enter, f"blocks/{_block(enter)}"), None)
                if inside is not None:
                    ended[program.frames.get(step.enter), _parent(enter)] = inside
                continue
            if not isinstance(step, _Written):
                continue
            block = program.frames.get(pc), _parent(step)
            if (end := ended.get(block)) is None:
                completes = self._needs(step) is Operation.COMPLETE
                if isinstance(step, Stop) or (isinstance(step, Act) and completes):
                    ended[block] = step
            elif not self._goes_on(pc) and (problem := _behind(end, step)) is not None:
                yield problem
                del ended[block]

    def _goes_on(self, pc: int) -> bool:
        """Whether a branch or block holds a step that is done although the session is over."""
        inside = self.rule.program.instructions[pc + 1 : end_of(self.rule.program, pc)]
        return any(isinstance(step, _Marked) and step.even_if_completed for step in inside)

    # Messages

    def _odd_messages(self) -> Iterator[Problem]:
        """Yield each message that is empty or too long as it is written."""
        for _, act in self._acts:
            if self._needs(act) is not Operation.SEND_MESSAGE:
                continue
            text = text_of(act)
            if text is not None and not text.strip():
                yield error(act.place, "empty-message", f"'{act.action}' says nothing", "add text")
            elif text is not None and len(text.encode()) > LONGEST_MESSAGE_BYTES:
                what = f"a message of more than {LONGEST_MESSAGE_BYTES} bytes"
                yield error(act.place, "long-message", what, "shorten it")

    # A rule that starts itself

    def _loops(self) -> Iterator[Problem]:
        """Yield each step that starts its own rule again."""
        once = self.rule.once
        own = [t for t in self.rule.triggers if isinstance(t, UserdataTrigger) and t.own]
        for pc, act in self._acts:
            for trigger in own if once is None else ():
                yield from self._writes_what_it_watches(pc, act, trigger.keys)
            # A new session is a new scope, so once for each session does not help.
            if once is None or once.scope is OnceScope.SESSION:
                yield from self._starts_on_what_it_begins(pc, act)

    def _starts_on_what_it_begins(self, pc: int, act: Act) -> Iterator[Problem]:
        """Yield the problem of a step that surely begins a session which starts the rule again.

        Every session is Completed in the end; whether it comes to be Talking the other party says.
        """
        begins = self._needs(act) is Operation.INITIATE
        if not begins or pc not in self._on_the_way or terms(self.rule):
            return
        states = [t.to for t in self.rule.triggers if isinstance(t, StateTrigger)]
        what = "the session that it begins starts this rule again"
        cure = "add 'when: not session.mine'"
        if any(to is None or SessionState.COMPLETED in to for to in states):
            yield error(act.place, "self-trigger", what, cure)
        elif any(to is not None and to & _OF_ANY_NEW_SESSION for to in states):
            yield warning(act.place, "self-trigger", what, cure)

    def _writes_what_it_watches(
        self, pc: int, act: Act, watched: frozenset[str] | None
    ) -> Iterator[Problem]:
        for key, value in user_data_written(act):
            if watched is not None and key not in watched:
                continue
            if value is not None and is_ruled_out(self.rule, key, value):
                continue
            what = f"this rule is started by userData.{key} and writes it{self._here(pc)}"
            cure = "leave 'own: true' out, or add 'once'"
            yield error(act.place, "self-trigger", what, cure)
            return

    # What it says where it began

    @cached_property
    def answers(self) -> bool:
        """Whether one of its steps can say something in the event's session."""
        here = where_it_began(self.rule.program, self._begins)
        says = (pc for pc, act in self._acts if self._needs(act) is Operation.SEND_MESSAGE)
        return not here.isdisjoint(says)

    @property
    def surely_says(self) -> Act | None:
        """The first reply that every run of the rule comes to, and at once."""
        for pc, step in self._steps:
            if pc not in self._on_the_way:
                continue
            needs = self._needs(step)
            if isinstance(step, Stop | Wait | WaitFor) or needs is Operation.INITIATE:
                return None
            if isinstance(step, Act) and needs is Operation.SEND_MESSAGE:
                return step
        return None


# What ends ------------------------------------------------------------------------------------


def _endless(wait: WaitFor, why: str) -> Problem:
    """Return the problem of waiting for what cannot happen."""
    cure = "wait for something else, or leave it out"
    if wait.timeout_s is None:
        return error(wait.place, "never-ends", f"this 'wait_for' never ends: {why}", cure)
    what = f"only its timeout ends this 'wait_for': {why}"
    return warning(wait.place, "never-ends", what, cure)


def _behind(end: Act | Stop, step: _Written) -> Problem | None:
    """Return the problem of a step that stands behind what ends the run, if it is one."""
    if isinstance(end, Stop):
        return warning(step.place, "after-end", "'stop' before this step ends the run")
    if isinstance(step, _Marked) and step.even_if_completed:
        is_endless = isinstance(step, WaitFor) and not isinstance(step.trigger, StateTrigger)
        why = f"'{end.action}' before it ends the session"
        return _endless(step, why) if isinstance(step, WaitFor) and is_endless else None
    what = f"'{end.action}' before this step ends the session, and so the run"
    cure = "move it up, or add 'even_if_completed: true'"
    return warning(step.place, "after-end", what, cure)


def _parent(step: Instruction) -> str:
    return str(getattr(step, "path", "")).rpartition("/")[0]


def _block(step: Instruction) -> str:
    return step.block if isinstance(step, Enter) else ""
