"""The page of problem codes: what each means, an example, and what imbot says about it."""

import re
from collections.abc import Iterator
from typing import Final

from docs.generator.markdown import anchor, contents, fenced
from docs.generator.mistakes import Mistake, mistake_of
from imbot.problemcodes import CODES
from imbot.problems import Problem

#: A place in the same file, as a message may name it.
_ELSEWHERE: Final = re.compile(r"\brules(?:\.test)?\.yaml:([0-9]+):([0-9]+)")


def page() -> Iterator[str]:
    """Yield every code, by topic."""
    yield from contents(CODES)
    for topic, codes in CODES.items():
        yield from (f"## {topic}", "")
        yield from (" · ".join(f"[`{code}`](#{anchor(code)})" for code in codes), "")
        for code, meaning in codes.items():
            yield from (f"### `{code}`", "", meaning, "")
            yield from _example(code, mistake_of(code))


def _example(code: str, mistake: Mistake) -> Iterator[str]:
    for name, text in mistake.shown.items():
        if name:
            yield from (f"`{name}`:", "")
        # What is wrong on purpose is not marked as what tests take from the pages.
        yield from fenced(text, "sh" if text.startswith("imbot ") else "yml")
    told = (_told(problem, mistake) for problem in mistake.problems if problem.code == code)
    yield from fenced("\n".join(dict.fromkeys(told)), "text")


def _told(problem: Problem, mistake: Mistake) -> str:
    """Return a problem with its place in what is shown."""
    lines, columns = mistake.shift
    line, column = problem.place.line - lines, problem.place.column - columns
    at = f"{line}:{column}: " if problem.place.line and mistake.shown else ""
    told = _ELSEWHERE.sub(lambda at: f"{int(at[1]) - lines}:{int(at[2]) - columns}", problem.told)
    return f"{at}{problem.severity}[{problem.code}]: {told}"
