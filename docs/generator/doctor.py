"""The page of the doctor: every check with what it looks at, and what a finding may be."""

from collections.abc import Iterator

from docs.generator.markdown import table
from imbot.doctor.findings import NEEDS, OF_AGENTS, WITH_ONE_AGENT, Check, Grade


def page() -> Iterator[str]:
    """Yield the grades and the checks."""
    yield from table(("grade", "means"), ((f"`{grade}`", grade.means) for grade in Grade))
    yield from table(
        ("check", "once for", "rests on", "looks at"),
        (
            (f"`{check}`", _about(check), ", ".join(f"`{each}`" for each in needs), check.means)
            for check in Check
            for needs in [NEEDS.get(check, ())]
        ),
    )


def _about(check: Check) -> str:
    if check in OF_AGENTS:
        return "each agent"
    return "one agent" if check in WITH_ONE_AGENT else "all"
