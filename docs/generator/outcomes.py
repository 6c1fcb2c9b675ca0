"""The page of outcomes: why a rule did not act, how steps and runs end, what errors mean."""

from collections.abc import Iterator

from docs.generator.keys import meanings
from docs.generator.markdown import contents, prose, table
from imbot.errors import ActionError, FaultClass
from imbot.model import OutcomeKind, Reason
from imbot.records import EffectState, RunState


def page() -> Iterator[str]:
    """Yield every reason and state."""
    yield from contents(
        ("Reasons", "How a step ends", "How a run ends", "Effects", "Errors", "Faults")
    )
    yield from ("## Reasons", "", prose(Reason.__doc__), "")
    yield from meanings(Reason, head="reason")
    yield from ("## How a step ends", "")
    yield from meanings(OutcomeKind, head="outcome")
    yield from ("## How a run ends", "", prose(RunState.__doc__), "")
    yield from meanings(RunState, head="state")
    yield from ("## Effects", "", "What is known of one call to GWS or to another peer.", "")
    yield from meanings(EffectState, head="state")
    yield from (
        "## Errors",
        "",
        "What `error.kind` is in `on_error`; it decides what happens next.",
        "",
    )
    errors = ((f"`{each.kind}`", prose(each.__doc__)) for each in ActionError.__subclasses__())
    yield from table(("kind", "meaning"), errors)
    yield from ("## Faults", "", "What kind of trouble an answer of GWS means.", "")
    yield from meanings(FaultClass, head="fault")
