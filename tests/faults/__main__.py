"""``python -m tests.faults`` plays seeds of the fault simulation; see ``--help``.

A failure names its seed; the same seed at the same commit does the same again.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.faults.campaign import Outcome, Tally, campaign
from tests.faults.canaries import CANARIES
from tests.faults.simulation import Simulator

_ROOT = Path(__file__).parents[2]
_PROGRESS_EACH_S = 30.0
_SHOWN = 10
#: So many seeds make a rate that means something.
_RATED_EACH = 250


def commit() -> str:
    """Return the commit that is tested; a plus where files differ from it."""

    def asked(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    name = asked("rev-parse", "--short=12", "HEAD") or "unknown"
    return name + (
        "+" if asked("status", "--porcelain", "imbot", "plugins", "tests/faults") else ""
    )


def play(seeds: range, processes: int) -> int:
    """Play seeds and tell of them; return the exit code."""
    tally, began = Tally(), time.monotonic()
    told = began
    try:
        for outcome in campaign(seeds, processes=processes):
            tally.add(outcome)
            if outcome.violations and len(tally.failed) <= _SHOWN:
                _tell_failure(outcome)
            if time.monotonic() - told > _PROGRESS_EACH_S:
                told = time.monotonic()
                print(f"  {tally.seeds}/{len(seeds)} {_speed(tally.seeds, began)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; until then:")
    print(f"commit {commit()}, seeds {seeds.start} to {seeds.stop - 1}")
    print(*tally.report(), sep="\n")
    shortfalls = tally.shortfalls() if tally.seeds >= min(len(seeds), 200) else []
    for shortfall in shortfalls:
        print(f"NOT ENOUGH: {shortfall}")
    print(_speed(tally.seeds, began))
    return 1 if tally.failed or shortfalls or tally.seeds < len(seeds) else 0


def _tell_failure(outcome: Outcome) -> None:
    print(f"FAILED seed {outcome.seed} ({outcome.kind}):")
    for violation in outcome.violations[:5]:
        print(f"    {violation}")
    print(f"    again: {sys.executable} -m tests.faults --trace {outcome.seed}", flush=True)


def _speed(seeds: int, began: float) -> str:
    took_s = time.monotonic() - began
    return f"{seeds / max(took_s, 0.001):.1f} seeds/s, {took_s:.0f} s"


def trace(seed: int) -> int:
    """Play one seed and show all that happened; return the exit code."""
    played = Simulator.make().play(seed)
    for happening in played.history.happenings:
        print(happening)
    print(played.schedule.deployment, played.history.fingerprint())
    print(*played.judged.violations or ["no violation"], sep="\n")
    return 1 if played.judged.violations else 0


def hashes(seeds: range, processes: int) -> int:
    """Play seeds twice, in other processes and orders; return the exit code."""
    first = {one.seed: one.fingerprint for one in campaign(seeds, processes=processes)}
    second = {one.seed: one.fingerprint for one in campaign(seeds[::-1], processes=processes)}
    differing = [seed for seed in seeds if first[seed] != second[seed]]
    print(f"{len(seeds)} seeds twice, {len(differing)} with another history: {differing[:20]}")
    return 1 if differing else 0


def canary_names(text: str) -> list[str]:
    """Return the canaries that are named, with commas between; of ``all``, all.

    Raises:
        argparse.ArgumentTypeError: There is none of a name.
    """
    names = list(CANARIES) if text == "all" else text.split(",")
    if unknown := sorted(set(names) - set(CANARIES)):
        raise argparse.ArgumentTypeError(
            f"no canary {', '.join(unknown)}; there are {', '.join(CANARIES)}, and all"
        )
    return names


def canaries(wanted: list[str], seeds: range, processes: int) -> int:
    """Let the checker catch bugs; return the exit code."""
    free = 0
    for name in wanted:
        caught = _catch(name, seeds, processes)
        free += not caught
        print(f"{name:<22} {caught or 'NOT CAUGHT'}"[:160], flush=True)
    print(f"{len(wanted) - free} of {len(wanted)} canaries caught within {len(seeds)} seeds")
    return 1 if free else 0


def _catch(name: str, seeds: range, processes: int) -> str:
    """Return at what a bug was noticed: a violation, or a rate; empty when it was not."""
    tally = Tally()
    with closing(campaign(seeds, canary=name, processes=processes)) as outcomes:
        for outcome in outcomes:
            tally.add(outcome)
            if outcome.violations:
                return f"seed {outcome.seed}: {outcome.violations[0]}"
            if tally.seeds % _RATED_EACH == 0 and (missed := tally.shortfalls()):
                return f"after {tally.seeds} seeds: {missed[0]}"
    return ""


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--trace", type=int, metavar="SEED", help="show one schedule")
    parser.add_argument("--hashes", type=int, metavar="N", help="play N seeds twice")
    parser.add_argument(
        "--canaries",
        type=canary_names,
        metavar="NAMES",
        help="'all', or names with commas between",
    )
    given = parser.parse_args()
    if given.trace is not None:
        return trace(given.trace)
    if given.hashes is not None:
        return hashes(range(given.first, given.first + given.hashes), given.processes)
    if given.canaries is not None:
        return canaries(given.canaries, range(given.first, given.first + 2000), given.processes)
    return play(range(given.first, given.first + given.seeds), given.processes)


if __name__ == "__main__":
    sys.exit(main())
