"""Asks whether a known fault is in what imbot needs: ``make audit``, or ``python deploy/audit.py``.

Everything in ``constraints.txt`` is asked about. An audit that could not ask is no audit: it ends
with 2 and says why, also where a service answers and knows of no faults at all, as a mirror of the
index may. So a package with faults that everybody knows is asked about first.
"""  # noqa: INP001  a script, not a package

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
#: A version with several published faults; a service that knows of none knows nothing.
KNOWN_TO_BE_BAD: Final = "jinja2==3.1.4"
#: Where faults are published; the first that answers is believed.
SERVICES: Final = ("pypi", "osv")
_TIMEOUT_S: Final = 900.0

FOUND, NOT_DONE = 1, 2


class Asked(NamedTuple):
    """What a service answered.

    Attributes:
        faults: One line for each, for people.
        passed_over: Packages that it could not say anything about, each with the reason.
        names: Every package that it was asked about.
        trouble: Why there is no answer; empty when there is one.
    """

    faults: Sequence[str] = ()
    passed_over: Sequence[str] = ()
    names: frozenset[str] = frozenset()
    trouble: str = ""


def ask(requirements: Path, service: str) -> Asked:
    """Return what a service says about every line of a file of pinned requirements."""
    words = ["-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    more = ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603  our own words
            [sys.executable, *words, *more],
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Asked(trouble=f"no answer within {_TIMEOUT_S:g} s")
    try:
        return read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"])[-1]
        return Asked(trouble=last[:500])


def read(answer: dict[str, Any]) -> Asked:
    """Return what pip-audit's JSON says.

    Raises:
        KeyError: It is not that.
    """
    packages = answer["dependencies"]
    return Asked(
        [told for each in packages for told in _faults(each)],
        [f"{each['name']}: {each['skip_reason']}" for each in packages if "skip_reason" in each],
        frozenset(_folded(each["name"]) for each in packages),
    )


def _faults(package: dict[str, Any]) -> Iterator[str]:
    for fault in package.get("vulns", ()):
        cure = ", ".join(fault["fix_versions"]) or "nowhere yet"
        yield f"{package['name']} {package['version']}: {fault['id']}, mended in {cure}"


def pinned(text: str) -> frozenset[str]:
    """Return the names in a file of pinned requirements that this machine would install."""
    from packaging.requirements import Requirement  # comes with pip-audit

    lines = re.findall(r"^([a-zA-Z0-9].*?)(?: \\)?$", text, re.MULTILINE)
    wanted = map(Requirement, lines)
    return frozenset(
        _folded(each.name) for each in wanted if each.marker is None or each.marker.evaluate()
    )


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def audit(requirements: Path, services: Sequence[str] = SERVICES) -> int:
    """Ask, tell what was answered, and return the exit code."""
    service, why = _that_answers(services)
    if not service:
        return _tell(NOT_DONE, "the audit was not done", why)
    asked = ask(requirements, service)
    missing = pinned(requirements.read_text(encoding="utf-8")) - asked.names
    left = [*asked.passed_over, *(f"{name}: not asked about" for name in sorted(missing))]
    if asked.trouble or left:
        return _tell(NOT_DONE, "the audit was not done", [asked.trouble, *left])
    if asked.faults:
        return _tell(FOUND, f"known faults, by {service}", asked.faults)
    print(f"{service} knows of no fault in {len(asked.names)} packages")  # noqa: T201  it reports
    return 0


def _that_answers(services: Sequence[str]) -> tuple[str, list[str]]:
    """Return the first service that knows what everybody knows, or why none does."""
    why = []
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.txt"
        bad.write_text(f"{KNOWN_TO_BE_BAD}\n", encoding="utf-8")
        for service in services:
            asked = ask(bad, service)
            if asked.faults:
                return service, []
            reason = asked.trouble or "; ".join(asked.passed_over)
            why.append(f"{service}: {reason or f'it knows of nothing bad in {KNOWN_TO_BE_BAD}'}")
    return "", why


def _tell(code: int, what: str, lines: Sequence[str]) -> int:
    told = [f"  {line}" for line in lines if line]
    print(f"{what}:", *told, sep="\n", file=sys.stderr)  # noqa: T201  it reports
    return code


if __name__ == "__main__":
    sys.exit(audit(ROOT / "constraints.txt"))
