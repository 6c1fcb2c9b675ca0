"""One IM session between two sides, and the refusal of what its state forbids."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from imbot.errors import ImbotError
from imbot.simulator.agents import Agent


class RefusedError(ImbotError):
    """GWS refuses an operation and nothing was modified.

    Attributes:
        status_code: GWS ``statusCode``, contract 4.1.
        with_notice: Whether a text-less ErrorMessage goes out over CometD too [O].
    """

    def __init__(self, status_code: int, message: str, *, with_notice: bool = False) -> None:
        self.status_code = status_code
        self.with_notice = with_notice
        super().__init__(message)


class State(StrEnum):
    """Where an IM session stands [D SEED-2]."""

    INITIATING = "Initiating"
    ALERTING = "Alerting"
    TALKING = "Talking"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation, with the number that said it."""

    at: datetime
    number: str
    text: str


@dataclass(frozen=True, slots=True)
class Side:
    """One end of an IM session; ``agent`` is None for an outside party, which has no login."""

    number: str
    agent: Agent | None = None


@dataclass(slots=True, eq=False)
class ImSession:
    """One conversation between two sides, at least one of them an agent.

    Attributes:
        path_id: Id in ``path``; differs from ``id`` only under a fault, as ``uri_id`` does.
        accept: Name of the operation that the called agent must send; empty when none is needed.
        transcript: Every message accepted, in order.
        was_talking: Whether it ever was answered.
    """

    id: str
    path_id: str
    uri_id: str
    caller: Side
    callee: Side
    user_data: dict[str, object]
    state: State = State.INITIATING
    accept: str = ""
    transcript: list[Line] = field(default_factory=list)
    was_talking: bool = False

    @property
    def is_live(self) -> bool:
        """Return whether it is not completed."""
        return self.state is not State.COMPLETED

    @property
    def is_ringing(self) -> bool:
        """Return whether it was never answered and still may be."""
        return self.state in {State.INITIATING, State.ALERTING}

    @property
    def path(self) -> str:
        """Return ``/im-sessions/{id}``."""
        return f"/im-sessions/{self.path_id}"

    @property
    def sides(self) -> tuple[Side, Side]:
        """Return both ends, the calling one first."""
        return (self.caller, self.callee)

    @property
    def agents(self) -> list[Agent]:
        """Return the agents at its ends, one or two."""
        return [side.agent for side in self.sides if side.agent is not None]

    def outside(self) -> Side:
        """Return the side without a login; the calling one when both are agents."""
        return self.callee if self.callee.agent is None else self.caller

    def side_of(self, agent: Agent) -> Side:
        """Return the end that this agent holds."""
        return self.caller if self.caller.agent is agent else self.callee

    def other(self, side: Side) -> Side:
        """Return the opposite end."""
        return self.callee if side is self.caller else self.caller

    def seen_state(self, side: Side) -> State:
        """Return the state as one end sees it: the calling one never sees Alerting."""
        if self.state is State.ALERTING and side is self.caller:
            return State.INITIATING
        return self.state
