"""``python -m benchmarks [PART …]`` measures and prints the tables; see ``--help``."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import day, endtoend, holding, journal, matching, process
from benchmarks.report import Result, show, write_json

#: A part's name → how it is measured in full, and in a hurry.
PARTS: dict[str, tuple[Callable[[int], Result], Callable[[int], Result]]] = {
    "matching": (
        lambda seed: matching.run(seed=seed),
        lambda seed: matching.run(matching.QUICK, seed=seed),
    ),
    "process": (
        lambda seed: process.run(seed=seed),
        lambda seed: process.run(process.QUICK, seed=seed),
    ),
    "day": (
        lambda _seed: day.run(),
        lambda _seed: day.run(day.QUICK),
    ),
    "journal": (
        lambda seed: journal.run(seed=seed),
        lambda seed: journal.run(journal.QUICK, seed=seed),
    ),
    "endtoend": (
        lambda seed: endtoend.run(seed=seed),
        lambda seed: endtoend.run(endtoend.QUICK, seed=seed),
    ),
    "holding": (
        lambda seed: holding.run(seed=seed),
        lambda seed: holding.run(holding.QUICK, seed=seed),
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for; what misses its goal is shown and is no failure."""
    parser = _arguments()
    asked = parser.parse_args(words)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = []
    for name in asked.parts or PARTS:
        began = time.monotonic()
        results.append(PARTS[name][asked.quick](asked.seed))
        print(f"{name}: measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    show(results, as_markdown=asked.markdown)
    write_json(asked.json, results)
    print(f"every value of every round: {asked.json}", file=sys.stderr)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all without")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller loads")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown, for docs/")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    parser.add_argument("--seed", type=int, default=1, help="decides rules' events and texts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
