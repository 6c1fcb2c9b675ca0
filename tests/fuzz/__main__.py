"""``python -m tests.fuzz`` gives the product random rule files and expressions; see ``--help``.

The seed and a number are a case. Worker processes make and look at the cases, each chunk in a new
process with limits of its own: what kills it, or fills its memory, is a finding.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import replies
from tests.fuzz.expressions import Writer
from tests.fuzz.judging import Fault, judge, limit_of
from tests.fuzz.rulefiles import Farm, seeds

MEMORY_LIMIT_BYTES = 256 * 1024 * 1024
#: Address space is more than memory: libraries map what they never touch.
ADDRESS_LIMIT_BYTES = 2 * 1024 * 1024 * 1024
#: What takes so long in one case is ended; Python itself may not come to look at a clock.
KILL_AFTER_S = 10.0
CHUNK = 500
#: Cases of the decoder are small, and a process that has looked at many shows whether it grows.
DECODER_CHUNK = 50_000
PROGRESS_EACH_S = 60.0
FINDINGS_SHOWN = 25

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that went wrong.

    Attributes:
        kind: ``file``, ``condition`` or ``template``; ``reply``, ``answer`` or ``row``.
        text: The case.
        what: What went wrong; the same fault of two cases mostly reads the same.
    """

    kind: str
    text: bytes
    what: str


@dataclass(slots=True)
class Tally:
    """What became of many cases."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    largest_bytes: int = 0
    growth_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what became of other cases."""
        self.counts += other.counts
        for kind, slow in other.slowest.items():
            self.slowest[kind] = max(self.slowest.get(kind, slow), slow)
        self.largest_bytes = max(self.largest_bytes, other.largest_bytes)
        self.growth_bytes = max(self.growth_bytes, other.growth_bytes)
        self.findings += other.findings


class Cases:
    """The cases of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._farm = Farm(seeds())

    def case(self, kind: str, number: int) -> tuple[str, bytes]:
        """Return a case as its kind and text.

        An ``expression`` is a condition or a template, ``decoder`` any of what GWS may say.
        """
        if kind == "decoder":
            return self._decoder_case(number)
        random = Random(f"{self._seed} {kind} {number}")
        if kind == "file":
            return kind, self._farm.file(random)
        writer = Writer(random)
        kind, text = (
            ("condition", writer.condition()) if number % 2 else ("template", writer.template())
        )
        return kind, text.encode("utf-8", "surrogatepass")

    def _decoder_case(self, number: int) -> tuple[str, bytes]:
        random = Random(self._seed << 40 | number)
        kind = ("reply", "reply", "reply", "reply", "reply", "reply", "answer", "answer", "row")[
            number % 9
        ]
        return kind, _WRITERS[kind](random)


_WRITERS = {"reply": replies.reply, "answer": replies.answer, "row": replies.row}


# Workers


@dataclass(frozen=True, slots=True)
class Job:
    """Cases of one kind, by number."""

    kind: str
    numbers: range


@dataclass(slots=True)
class Worker:
    """A process at its job.

    Attributes:
        at: The number of the case that it looks at.
    """

    job: Job
    process: BaseProcess
    answer: Connection
    at: Any


def _started(cases: Cases, job: Job) -> Worker:
    """Return a new process that looks at the cases of a job."""
    here, there = _FORK.Pipe(duplex=False)
    at = _FORK.Value("q", job.numbers.start, lock=False)
    process = _FORK.Process(target=_work, args=(cases, job, there, at), daemon=True)
    process.start()
    there.close()
    return Worker(job, process, here, at)


def _work(cases: Cases, job: Job, answer: Connection, at: Any) -> None:
    """Look at every case and answer with a tally; a case too large is the last of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that reports hears it too
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_LIMIT_BYTES, ADDRESS_LIMIT_BYTES))
    tally = Tally()
    settled_at, settled_bytes = job.numbers.start + len(job.numbers) // 5, 0
    for at.value in job.numbers:
        kind, text = cases.case(job.kind, at.value)
        _look(kind, text, tally)
        tally.largest_bytes = _memory_bytes()
        if at.value == settled_at:
            settled_bytes = tally.largest_bytes
        if tally.largest_bytes > MEMORY_LIMIT_BYTES:
            what = f"the process needs {tally.largest_bytes >> 20} MiB"
            tally.findings.append(Finding(kind, text, what))
            break
    tally.growth_bytes = tally.largest_bytes - settled_bytes
    at.value += 1
    answer.send(tally)


def _look(kind: str, text: bytes, tally: Tally) -> None:
    """Look at one case."""
    # Its signal ends the process, whatever runs: a regular expression asks nobody for the time.
    signal.setitimer(signal.ITIMER_PROF, KILL_AFTER_S)
    tally.counts[kind, "all"] += 1
    try:
        verdict = judge(kind, text)
    except Exception as error:  # noqa: BLE001  what nobody caught is what is looked for
        tally.findings.append(Finding(kind, text, _told(error)))
        return
    tally.counts[kind, "read"] += verdict.is_read
    tally.counts[kind, "taken"] += verdict.is_taken
    slow = verdict.cpu_s, text
    tally.slowest[kind] = max(tally.slowest.get(kind, slow), slow)


def _told(error: Exception) -> str:
    if isinstance(error, Fault):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return f"uncaught {type(error).__name__} at {where}: {str(error)[:200]}"


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(cases: Cases, jobs: Iterator[Job], processes: int) -> Tally:
    """Return what became of all cases."""
    tally = Tally()
    waiting: list[Job] = []
    working: list[Worker] = []
    told_at = time.monotonic()
    while True:
        while len(working) < processes and (job := waiting.pop() if waiting else next(jobs, None)):
            working.append(_started(cases, job))
        if not working:
            return tally
        try:
            ready = wait([worker.answer for worker in working])
        except KeyboardInterrupt:
            print("ended early", file=sys.stderr)
            return tally
        if time.monotonic() - told_at > PROGRESS_EACH_S:
            told_at = time.monotonic()
            told = f"{_cases(tally)} cases, {len(tally.findings)} findings"
            print(told, file=sys.stderr, flush=True)
        for worker in [each for each in working if each.answer in ready]:
            working.remove(worker)
            numbers = worker.job.numbers
            try:
                answer: Tally = worker.answer.recv()
                left = [range(worker.at.value, numbers.stop)]
            except EOFError:
                answer = _of_the_dead(worker, cases)
                # What it found before, it took with it.
                left = [
                    range(numbers.start, worker.at.value),
                    range(worker.at.value + 1, numbers.stop),
                ]
            worker.process.join()
            tally.add(answer)
            waiting += [Job(worker.job.kind, each) for each in left if each]


def _of_the_dead(worker: Worker, cases: Cases) -> Tally:
    """Return the one case that killed a worker."""
    worker.process.join()
    kind, text = cases.case(worker.job.kind, worker.at.value)
    code = worker.process.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"status {code}"
    found = Finding(kind, text, f"the process ended with {name}")
    return Tally(Counter({(kind, "all"): 1}), findings=[found])


# Reports


def _jobs(first: int, files: int, expressions: int, decoder: int) -> Iterator[Job]:
    kinds = ("file", files, CHUNK), ("expression", expressions, CHUNK)
    for kind, count, chunk in (*kinds, ("decoder", decoder, DECODER_CHUNK)):
        for start in range(first, first + count, chunk):
            yield Job(kind, range(start, min(start + chunk, first + count)))


def _cases(tally: Tally) -> int:
    return sum(count for (_, what), count in tally.counts.items() if what == "all")


def _report(tally: Tally, seed: int, folder: Path, wall_s: float) -> None:
    total = _cases(tally)
    print(f"seed {seed}: {total} cases in {wall_s:.0f} s, {total / max(wall_s, 1e-9):.0f} a second")
    kinds = ("file", "are YAML"), ("condition", "read"), ("template", "read")
    for kind, read in (*kinds, *((kind, "read") for kind in _WRITERS)):
        if not (count := tally.counts[kind, "all"]):
            continue
        shares = (tally.counts[kind, "read"] / count, tally.counts[kind, "taken"] / count)
        slowest_s, text = tally.slowest.get(kind, (0.0, b""))
        slowest = f"slowest {slowest_s * 1000:.0f} ms of {limit_of(kind) * 1000:.0f}"
        taken = f"{shares[0]:6.1%} {read}, {shares[1]:6.1%} without an error"
        print(f"{count:8} {kind + 's':10} {taken}; {slowest}: {_kept(kind, text, folder)}")
    growth = f"at most {tally.growth_bytes >> 10} KiB more after a fifth of its cases"
    limit = f"{MEMORY_LIMIT_BYTES >> 20}"
    print(f"largest process {tally.largest_bytes >> 20} MiB of {limit}, {growth}")
    by_what: dict[str, list[Finding]] = {}
    for finding in tally.findings:
        by_what.setdefault(finding.what[:80], []).append(finding)
    for found in sorted(by_what.values(), key=len, reverse=True)[:FINDINGS_SHOWN]:
        smallest = min(found, key=lambda each: len(each.text))
        path = _kept(smallest.kind, smallest.text, folder)
        print(f"\n{len(found)} x {smallest.kind}: {smallest.what}")
        print(f"    {sys.executable} -m tests.fuzz --case {path}")
    if by_what:
        print(f"\n{len(tally.findings)} findings of {len(by_what)} kinds")


def _kept(kind: str, text: bytes, folder: Path) -> Path:
    """Return the file that a case was written to."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(text).hexdigest()[:12]}.{kind}"
    path.write_bytes(text)
    return path


def _again(path: Path) -> int:
    """Look at the case of a file once more, in this process."""
    verdict = judge(path.suffix.removeprefix("."), path.read_bytes())
    print(verdict, f"{_memory_bytes() >> 20} MiB")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--rules", type=int, help="rule files (10000)")
    parser.add_argument("--expressions", type=int, help="and templates (3000)")
    parser.add_argument("--decoder", type=int, default=0, help="and answers of GWS (0)")
    parser.add_argument("--first", type=int, default=0, help="its number; to go on where one ended")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of all cases")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for cases found")
    parser.add_argument("--case", type=Path, help="look at the case of a file again, and no more")
    asked = parser.parse_args(words)
    if asked.case is not None:
        return _again(asked.case)
    _fill_in(asked)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    began = time.monotonic()
    cases = Cases(asked.seed)
    _warm()
    jobs = _jobs(asked.first, asked.rules, asked.expressions, asked.decoder)
    tally = run(cases, jobs, asked.processes)
    _report(tally, asked.seed, asked.folder, time.monotonic() - began)
    return 1 if tally.findings else 0


def _fill_in(asked: argparse.Namespace) -> None:
    """Who asks for the decoder alone gets it alone."""
    for name, count in (("rules", 10_000), ("expressions", 3_000)):
        if getattr(asked, name) is None:
            setattr(asked, name, 0 if asked.decoder else count)


def _warm() -> None:
    """Have libraries loaded before the first fork, which then costs nothing."""
    for text in seeds():
        try:
            judge("file", text.encode())
        except Exception as error:  # noqa: BLE001  the workers will find it
            print(f"a seed: {_told(error)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
