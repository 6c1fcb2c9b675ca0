"""Writes rule files: real ones, mutated as text, as tokens and as trees, and plain noise."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from imbot.rulebook.loader import TEST_SUFFIXES
from imbot.yamlfile import load
from tests.fuzz import words
from tests.fuzz.expressions import Writer

_ROOT = Path(__file__).parents[2]
_FOLDERS = ("rules", "examples", "tests/data")
#: A whole file of values is no longer: how many rules fit into 200 ms is another question.
_LONGEST = 12_000
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")

#: What stands under a key, so that much of what is made is right, or nearly.
_UNDER: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("idle", "every", "wait", "timeout", "once_within", "max_age"), words.DURATIONS
    ),
    **dict.fromkeys(("timezone",), words.ZONES),
    **dict.fromkeys(("schedule",), words.SCHEDULES),
    **dict.fromkeys(("matches",), words.PATTERNS),
    **dict.fromkeys(("get", "post", "put", "patch", "delete"), words.URLS),
    **dict.fromkeys(("state", "from", "to"), words.STATES),
    **dict.fromkeys(("opens", "closes"), tuple(f"{each} before" for each in words.DURATIONS)),
    **dict.fromkeys(("country",), words.COUNTRIES),
    **dict.fromkeys(("region",), words.REGIONS),
    **dict.fromkeys(words.DAYS, words.SLOTS),
    **dict.fromkeys(("mode",), words.MODES),
    **dict.fromkeys(("missed",), ("run_once", "skip", "all", "never")),
    **dict.fromkeys(("backoff",), ("1s..1m", "1m..1s", "1s", "..", "0s..0s", "1s..99999999d")),
    **dict.fromkeys(("ics",), ("days.ics", "broken.ics", "../x.ics", "")),
}
_CONDITIONS = frozenset({"when", "if", "key", "by", "once"})
_TEMPLATES = frozenset(
    {"reply", "log", "text", "complete", "stop", "set", "with", "let", "json", "form"}
)


def seeds() -> list[str]:
    """Return the texts of the rule files of this repository, the wrong ones included."""
    paths = sorted(path for each in _FOLDERS for path in (_ROOT / each).rglob("*.yaml"))
    kept = (
        path
        for path in paths
        if not path.name.endswith(TEST_SUFFIXES) and "node_modules" not in path.parts
    )
    return [path.read_text(encoding="utf-8") for path in kept]


class Farm:
    """Grows rule files out of seeds."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        trees = (load("seed", text)[0] for text in texts)
        self._trees = [root.plain() for root in trees if root is not None and root.entries]

    def file(self, random: Random) -> bytes:
        """Return a rule file, or what somebody may take for one."""
        ways: tuple[tuple[Callable[[Random], str], int], ...] = (
            (self._tree, 66),
            (self._tokens, 14),
            (self._text, 14),
            (_noise, 3),
            (_deep, 3),
        )
        grow = random.choices([way for way, _ in ways], [weight for _, weight in ways])[0]
        return grow(random).encode("utf-8", "surrogatepass")

    def _text(self, random: Random) -> str:
        """Return a file with cuts, doublings and insertions."""
        text = random.choice(self._texts)
        for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
            at = random.randint(0, len(text))
            to = min(at + random.choice((0, 1, 1, 3, 10, 80)), len(text))
            put = (words.odd(random), "", text[at:to] * 2, " ", "\n", words.characters(random, 8))
            text = text[:at] + random.choice(put) + text[to:]
        return text

    def _tokens(self, random: Random) -> str:
        """Return a file whose words and signs were deleted, doubled, swapped and exchanged."""
        tokens = _TOKEN.findall(random.choice(self._texts))
        for _ in range(random.choice((1, 1, 2, 3, 8))):
            at, other = random.randrange(len(tokens)), random.randrange(len(tokens))
            match random.randrange(5):
                case 0:
                    tokens[at] = ""
                case 1:
                    tokens[at] *= random.choice((2, 2, 50))
                case 2:
                    tokens[at], tokens[other] = tokens[other], tokens[at]
                case 3:
                    tokens[at] = random.choice(words.KEYS)
                case _:
                    tokens[at] = words.odd(random)
        return "".join(tokens)

    def _tree(self, random: Random) -> str:
        """Return a file whose values were changed, and which is YAML all the same."""
        tree = _copy(random.choice(self._trees))
        for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
            self._mutate(tree, random)
        return _written(tree, random)

    def _mutate(self, tree: Any, random: Random) -> None:  # noqa: C901  one case per way
        """Change one place of a tree."""
        slots = list(_slots(tree))
        if not slots:
            return
        owner, key = random.choice(slots)
        match random.randrange(12):
            case 0:
                del owner[key]
            case 1 if isinstance(owner, list):
                owner[key:key] = [_copy(owner[key]) for _ in range(random.choice((1, 1, 3)))]
            case 1 if "id" in owner:
                owner["id"] = random.choice(("other", words.odd(random), 7))
            case 2:
                other, its = random.choice(slots)
                owner[key], other[its] = _copy(other[its]), _copy(owner[key])
            case 3:
                giver, its = random.choice(list(_slots(random.choice(self._trees))))
                owner[key] = _copy(giver[its])
            case 4 if isinstance(owner, dict):
                owner[random.choice((random.choice(words.KEYS), words.odd(random)))] = owner.pop(
                    key
                )
            case 4 | 5 if isinstance(owner, list):
                random.shuffle(owner)
            case 5:
                owner[random.choice(words.KEYS)] = _scalar(random)
            case 6:
                owner[key] = random.choice(
                    ([_copy(owner[key])], {random.choice(words.KEYS): owner[key]})
                )
            case 7:
                owner[key] = _scalar(random)
            case _:
                owner[key] = _fitting(key, owner[key], random)


def _fitting(key: object, value: object, random: Random) -> object:  # noqa: PLR0911  one per kind
    """Return another value of the kind that stands under a key."""
    if key in _CONDITIONS:
        return Writer(random).condition()
    if key in _UNDER:
        return random.choice(_UNDER[str(key)])
    if isinstance(value, str) and (key in _TEMPLATES or "{{" in value or random.random() < 0.3):
        return Writer(random).template()
    match value:
        case bool():
            return not value
        case int() | float():
            return random.choice((0, 1, -1, value + 1, 2**63, 10**30, -0.0, 1e308, value * 1000))
        case str():
            at = random.randint(0, len(value))
            return value[:at] + words.odd(random) + value[at:]
        case list():
            return random.sample(value, len(value))
        case dict():
            return dict(random.sample(list(value.items()), len(value)))
        case _:
            return _scalar(random)


def _scalar(random: Random) -> object:  # noqa: PLR0911  one case per kind
    """Return any value."""
    match random.randrange(8):
        case 0:
            return random.choice(
                (
                    None,
                    True,
                    False,
                    0,
                    -1,
                    1.5,
                    2**64,
                    10**25,
                    1e300,
                    [],
                    {},
                    [[]],
                    [None],
                    {"": None},
                )
            )
        case 1:
            return random.choice(random.choice(list(_UNDER.values())))
        case 2:
            return Writer(random).condition()
        case 3:
            return Writer(random).template()
        case 4:
            return words.odd(random) * random.choice((1, 1, 10, 1000))
        case 5:
            return _nested(random, random.choice((2, 5, 20, 23, 24, 25, 60)))
        case 6:
            return random.choice(words.KEYS)
        case _:
            return words.odd(random)


def _nested(random: Random, depth: int) -> object:
    """Return lists, maps or steps in one another."""
    value: object = random.choice(("x", None, 1))
    make: Callable[[object], object] = random.choice(
        (
            lambda inner: [inner],
            lambda inner: {"a": inner},
            lambda inner: [{"if": "true", "then": inner}],
            lambda inner: [{"parallel": [[{"wait": "1s"}], inner]}],
            lambda inner: [{"log": "x", "on_error": inner}],
        )
    )
    for _ in range(depth):
        value = make(value)
    return value


def _written(tree: object, random: Random) -> str:
    """Return a tree as YAML in one of its styles."""
    way = random.randrange(4)
    if way == 0:
        return json.dumps(tree, ensure_ascii=random.random() < 0.5)
    try:
        return yaml.dump(
            tree,
            Dumper=yaml.CSafeDumper,
            allow_unicode=random.random() < 0.8,
            default_flow_style=True if way == 1 else random.choice((None, False)),
            sort_keys=False,
            width=random.choice((20, 80, 10_000)),
        )
    except (UnicodeError, yaml.YAMLError, RecursionError):
        return json.dumps(tree)  # which nests three times as deep


def _noise(random: Random) -> str:
    """Return what was never a rule file."""
    if random.random() < 0.3:
        return words.characters(random, 400)
    parts = (*words.KEYS, *words.ODD, ": ", ": ", "\n", "\n  ", "\n    ", "- ", "\n- ")
    return "".join(random.choice(parts) for _ in range(random.randint(0, 120)))[:_LONGEST]


def _deep(random: Random) -> str:
    """Return a file that nests, repeats or goes on for long."""
    times = random.choice((23, 24, 25, 100, 2000))
    unit, end = random.choice(
        (
            ("[", "]"), ("{a: ", "}"), ("[{", "}]"), ("- ", ""), ("? ", ""), ("&a ", "x"), ("*a ",
            ""),
            ("!!map {x: ", "}"), ("!", " x"), ("'", "'"), ('"', '"'), ("a: ", ""), ("x,", ""),
            ("{{", "}}"),
            ("\n- ", ""), ("# ", "\n"), ("---\n", "...\n"), ("|\n ", ""), ("<<: *a\n", ""),
        )
    )  # fmt: skip
    body = unit * times + "x" + end * times
    if random.random() < 0.15:
        body = random.choice(("x", "é", "a b ", "{{ x }} ", '\\"', "\n")) * random.choice(
            (9_000, 90_000, 300_000)
        )
    if random.random() < 0.2:
        body = _crowd(random)
    head = random.choice(
        (
            "",
            "rules: ",
            "version: 1\nvars:\n  a: ",
            "version: 1\nrules:\n- id: r\n  trigger: {state: Talking}\n  do:\n  - log: ",
            "version: 1\nrules:\n- id: r\n  trigger: {state: Talking}\n  do: ",
            "version: 1\nrules:\n- id: r\n  trigger: {state: Talking}\n  do: [{log: x}]\n  when: ",
            "version: 1\nrules:\n- id: r\n  do: [{log: x}]\n  trigger: ",
        )
    )
    return head + body


def _crowd(random: Random) -> str:
    """Return one long text with a mistake in each of its many parts."""
    part = random.choice(
        ("{{ sesion.id }}", "{{ vars.x | nosuch }} and ", "é {{ x }}", "{{ '{{' }}")
    )
    style, end = random.choice((('"', '"'), ("'", "'"), ("|\n", "\n"), (">-\n", "\n")))
    between = random.choice((" ", "\n                ", "\n\n                "))
    parts = between.join([part] * random.choice((10, 100, 300)))
    return f"{style}                {parts}{end}"


def _slots(tree: Any) -> Any:
    """Yield each place of a tree as its owner and key."""
    keys = (
        list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    )
    for key in keys:
        yield tree, key
        yield from _slots(tree[key])


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(item) for item in tree] if isinstance(tree, list) else tree
