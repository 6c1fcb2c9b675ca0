"""The examples of the pages, by page and heading, and the rule files that they are parts of."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from docs.generator.markdown import fenced

FILE: Final = Path(__file__).with_name("examples.yaml")

_HEAD: Final = """version: 1
calendars:
  support: {timezone: Europe/Berlin, open: {mon-fri: "08:00-18:00"}}
blocks:
  greet: {inputs: {name: text}, do: [{reply: "Hello {{ name }}!"}]}
rules:
  - id: other
    trigger: {message: {equals: hi}}
    when: open("support")
    do: [{call: {block: greet, with: {name: Ada}}}]
  - id: example
"""
#: What makes a rule of an example that is a part of one.
_REST: Final[Mapping[str, str]] = {
    "trigger": "    do: [{log: it happened}]\n",
    "step": "    trigger: {state: Talking}\n",
    "action": "    trigger: {message: {equals: now}}\n",
}


@cache
def _written() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def example(page: str, heading: str = "") -> str:
    """Return an example.

    Raises:
        KeyError: There is none; everything that has a heading needs one.
    """
    found = _written()[page]
    text: str = found[heading] if heading else found
    return text


def shown(page: str, heading: str = "") -> Iterator[str]:
    """Yield an example as Markdown."""
    yield from fenced(example(page, heading))


def rule_files() -> Iterator[tuple[str, str]]:
    """Yield the name of each example of rules, and the rule file that it makes."""
    for page, examples in _written().items():
        for heading, text in examples.items() if isinstance(examples, dict) else ():
            yield f"{page} {heading}", _as_file(page, text)


def _as_file(page: str, text: str) -> str:
    if page not in _REST:
        return text
    part = "".join(f"    {line}\n" for line in text.splitlines())
    return f"{_HEAD}{part}{_REST[page]}"
