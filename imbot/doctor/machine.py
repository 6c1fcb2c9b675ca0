"""What imbot runs on: Python, packages, time zone data, open files, memory."""

import re
import sys
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

from imbot.doctor.findings import Finding
from imbot.http import has_fast_parser
from imbot.openfiles import Limits, files_needed, is_enough

#: The newest Python that imbot is tested with.
_NEWEST = (3, 14)

_IMBOT = "imbot"
#: Named with their versions; of the others there is a number.
_NAMED = ("aiohttp", "aiocometd")
#: What the extra ``fast`` brings, and what for.
_EXTRAS = {"uvloop": "a faster event loop", "orjson": "faster JSON"}

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*\(?([^;()]*)\)?\s*")
_SPECIFIER = re.compile(r"(===|==|>=|<=|!=|~=|<|>)\s*([^\s,]+)")

#: Where systems keep which release of the time zone data they have.
_RELEASE = re.compile(r"# version (\d{4}[a-z]{0,2})")
_RELEASE_FILE = "tzdata.zi"
#: Years after which rules of some country have surely changed.
_OLD_YEARS = 2

#: What an imbot without agents takes, and what each adds at rest.
HOUSE_BYTES, AGENT_BYTES = 128 * 2**20, 30 * 2**10
_MEMORY_LINE = re.compile(r"^(MemAvailable|SwapFree): +(\d+) kB$", re.MULTILINE)

_MIB = 2**20


# Python and packages ---------------------------------------------------------------------------


def python(version: tuple[int, int, int], optimize: int) -> Finding:
    """Return whether this Python will do. Source: reliability 4.4.

    Args:
        version: Its version.
        optimize: ``sys.flags.optimize``.
    """
    told = ".".join(map(str, version))
    if optimize:
        cure = "unset PYTHONOPTIMIZE and start Python without -O"
        return Finding.failed(f"{told}, which leaves out what libraries check", cure)
    if version[:2] > _NEWEST:
        newest = ".".join(map(str, _NEWEST))
        return Finding.hint(f"{told}, newer than what imbot is tested with", f"use {newest}")
    return Finding.ok(told)


def packages(requirements: Iterable[str] | None, installed: Mapping[str, str]) -> list[Finding]:
    """Return which packages are missing, or not as new as they have to be.

    Args:
        requirements: As the metadata of imbot have them (PEP 508); None where it has none.
        installed: The version of each package by its normalised name.
    """
    if requirements is None:
        told = "imbot is no installed package, so nobody knows what it needs"
        return [Finding.hint(told, "install it with pip, also from a clone: pip install -e .")]
    due = [parsed for each in requirements if (parsed := parse_requirement(each)) is not None]
    wrong = [(name, bounds) for name, bounds in due if not _is_there(name, bounds, installed)]
    if wrong:
        cure = "install imbot anew into its environment, constraints.txt with it"
        return [
            Finding.failed(f"{name} {installed.get(name, 'is missing')}, not {bounds}", cure)
            for name, bounds in wrong
        ]
    named = [f"{name} {installed[name]}" for name in (_IMBOT, *_NAMED) if name in installed]
    return [Finding.ok(f"{', '.join(named)}, and {len(due) - len(_NAMED)} more")]


def _is_there(name: str, bounds: str, installed: Mapping[str, str]) -> bool:
    return name in installed and satisfies(installed[name], bounds)


def parse_requirement(text: str) -> tuple[str, str] | None:
    """Return the normalised name and the bounds of a requirement; None of an extra, or of none."""
    requirement, _, marker = text.partition(";")
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None or "extra" in marker:
        return None
    return normalised(found[1]), found[2].strip()


def normalised(name: str) -> str:
    """Return a package's name as PEP 503 spells it."""
    return re.sub("[-_.]+", "-", name).lower()


def satisfies(version: str, bounds: str) -> bool:
    """Return whether a version keeps bounds such as ``>=3.14.3,<4``, by its numbers alone."""
    return all(
        _keeps(_numbers(version), operator, _numbers(bound))
        for operator, bound in _SPECIFIER.findall(bounds)
    )


def _keeps(have: tuple[int, ...], operator: str, bound: tuple[int, ...]) -> bool:
    width = max(len(have), len(bound))
    ours, theirs = (each + (0,) * (width - len(each)) for each in (have, bound))
    match operator:
        case "==" | "===":
            return ours == theirs
        case "!=":
            return ours != theirs
        case ">=" | "~=":
            return ours >= theirs
        case "<=":
            return ours <= theirs
        case ">":
            return ours > theirs
        case _:
            return ours < theirs


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with; what follows them is of no release."""
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def parser(*, is_fast: bool) -> Finding:
    """Return whether aiohttp reads HTTP in C. Source: reliability 4.4: the other one is laxer."""
    if is_fast:
        return Finding.ok("in C")
    cure = "install the wheel of aiohttp for this machine, and unset AIOHTTP_NO_EXTENSIONS"
    return Finding.failed("in Python: slow, and not as strict", cure)


def extras(installed: Mapping[str, str]) -> Finding:
    """Return whether what makes imbot faster is there; it works the same without."""
    missing = [f"{name} ({what})" for name, what in _EXTRAS.items() if name not in installed]
    if missing:
        cure = "install the extra: pip install 'imbot[fast]'"
        return Finding.hint(f"without {' and '.join(missing)}", cure)
    return Finding.ok(", ".join(f"{name} {installed[name]}" for name in _EXTRAS))


def installed_packages() -> dict[str, str]:
    """Return the version of each package of this environment by its normalised name."""
    named = ((dist.metadata["Name"], dist.version) for dist in metadata.distributions())
    return {normalised(name): version for name, version in named if name}


def own_requirements() -> list[str] | None:
    """Return what imbot says it needs; None where it is not installed."""
    try:
        return metadata.requires(_IMBOT)
    except metadata.PackageNotFoundError:
        return None


def own_python() -> Finding:
    """Return whether the Python that runs this will do."""
    return python(sys.version_info[:3], sys.flags.optimize)


def own_parser() -> Finding:
    """Return whether the aiohttp that is installed here will do."""
    return parser(is_fast=has_fast_parser())


# Time zones -----------------------------------------------------------------------------------


def zones(
    installed: Mapping[str, str], now: datetime, paths: Iterable[str] = zoneinfo.TZPATH
) -> Finding:
    """Return which time zone data is used, and whether it is too old; the system's comes first."""
    folder = next((Path(path) for path in paths if Path(path, "UTC").is_file()), None)
    if folder is not None:
        release, of = _release(folder), f"of the system ({folder})"
        cure = "update the system's package tzdata"
    else:
        release, of = installed.get("tzdata", ""), "of the package tzdata"
        cure = "pip install --upgrade tzdata"
    if not release:
        if folder is None:
            return Finding.failed("there is no time zone data", "pip install tzdata")
        return Finding.ok(f"{of}, which does not tell its release")
    if int(release[:4]) <= now.year - _OLD_YEARS:
        return Finding.warning(f"{release}, {of}: clocks of some countries have changed", cure)
    return Finding.ok(f"{release}, {of}")


def _release(folder: Path) -> str:
    try:
        with (folder / _RELEASE_FILE).open(encoding="utf-8", errors="replace") as file:
            found = _RELEASE.match(file.readline(100))
    except OSError:
        return ""
    return found[1] if found else ""


# Limits ---------------------------------------------------------------------------------------


def files(agents: int, limits: Limits | None) -> Finding:
    """Return whether so many agents may hold their connections open; imbot raises what it may."""
    if limits is None:
        return Finding.ok("this system has no such limit")
    needed = files_needed(agents)
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    told = f"{_counted(agents, 'agent')} at most {needed} open files; the limit is {_limit(soft)}"
    if is_enough(soft, needed):
        return Finding.ok(told)
    if is_enough(hard, needed):
        return Finding.ok(f"{told}, which imbot may raise itself, to {_limit(hard)} at most")
    cure = "raise LimitNOFILE= of the systemd unit, or ulimit -n of the shell"
    return Finding.failed(f"{told}, and may not be raised beyond {_limit(hard)}", cure)


def _limit(limit: int) -> str:
    return "none" if limit < 0 else str(limit)


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} needs" if count == 1 else f"{count} {noun}s need"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is free.

    Attributes:
        free_bytes: Without swap.
        swap_bytes: Of swap.
    """

    free_bytes: int
    swap_bytes: int


def parse_memory(text: str) -> Memory | None:
    """Return what ``/proc/meminfo`` tells; None where it does not."""
    told = {name: int(value[:15]) * 1024 for name, value in _MEMORY_LINE.findall(text)}
    if "MemAvailable" not in told:
        return None
    return Memory(told["MemAvailable"], told.get("SwapFree", 0))


def read_memory(path: Path = Path("/proc/meminfo")) -> Memory | None:
    """Return what is free on this machine; None where the system does not tell."""
    try:
        return parse_memory(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None


def memory(agents: int, have: Memory | None) -> Finding:
    """Return whether there is memory for so many agents, by an estimate of 30 KiB for each."""
    needed = HOUSE_BYTES + AGENT_BYTES * agents
    told = f"{_counted(agents, 'agent')} some {needed // _MIB} MiB"
    if have is None:
        return Finding.ok(f"{told}; this system does not tell what is free")
    told += f"; {have.free_bytes // _MIB} MiB are free, and {have.swap_bytes // _MIB} MiB of swap"
    cure = "have fewer agents here, end other programs, or add memory"
    if needed > have.free_bytes + have.swap_bytes:
        return Finding.failed(told, cure)
    if needed > have.free_bytes:
        return Finding.warning(f"{told}: imbot would wait for the disk", cure)
    return Finding.ok(told)
