"""What came of the tests, in words: for people, for programs, for CI. The same every time. Pure."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from imbot.durations import format_duration
from imbot.model import JSON
from imbot.problems import annotation
from imbot.testing.comparing import Line, spelled
from imbot.testing.coverage import Coverage
from imbot.testing.playing import Effect
from imbot.testing.rule_tests import Report, Result
from imbot.testing.script import Expected

#: What an effect is told in; longer ones are cut.
_WIDEST = 100


def as_text(report: Report) -> Iterator[str]:
    """Yield the lines for people."""
    for problem in report.problems:
        yield str(problem)
    for result in report.results:
        mark = "ok  " if result.has_passed else "FAIL"
        yield f"{mark}  {result.test.place}: {result.test.name}"
        if not result.has_passed:
            yield from _told(result)
    if report.coverage is not None:
        yield from _covered(report.coverage)
    yield summary(report)


def as_json(report: Report) -> Iterator[str]:
    """Yield one JSON object for each mistake, each test and each gap of the coverage."""
    for problem in report.problems:
        yield json.dumps({"problem": str(problem), "code": problem.code})
    for result in report.results:
        told = {
            "test": result.test.name,
            "place": str(result.test.place),
            "passed": result.has_passed,
            "lines": list(_told(result)) if not result.has_passed else [],
        }
        yield json.dumps(told, ensure_ascii=False)
    for gap in report.coverage.gaps() if report.coverage else ():
        yield json.dumps({"place": str(gap.place), "leaf": gap.text, "lacks": gap.lacks})


def as_github(report: Report) -> Iterator[str]:
    """Yield what GitHub shows beside the lines of a change, and the summary."""
    for problem in report.problems:
        yield problem.annotation
    for result in report.results:
        if not result.has_passed:
            told = "\n".join([result.test.name, *_told(result)])
            yield annotation(result.test.place, told)
    yield summary(report)


def as_junit(report: Report) -> str:
    """Return the report as JUnit XML, which every CI reads; without any duration."""
    root = ET.Element("testsuites", name="imbot test")
    if report.problems:
        suite = ET.SubElement(root, "testsuite", name="files", tests="1", failures="0", errors="1")
        case = ET.SubElement(suite, "testcase", classname="files", name="can be read")
        told = "\n".join(map(str, report.problems))
        ET.SubElement(case, "error", message="mistakes in files").text = _clean(told)
    for where, group in groupby(report.results, key=lambda result: result.path):
        path, results = _clean(where), list(group)
        failed = sum(not result.has_passed for result in results)
        suite = ET.SubElement(
            root, "testsuite", name=path, tests=str(len(results)), failures=str(failed), errors="0"
        )
        for result in results:
            name = _clean(result.test.name)
            line = str(result.test.place.line)
            case = ET.SubElement(suite, "testcase", classname=path, name=name, file=path, line=line)
            if not result.has_passed:
                failure = ET.SubElement(case, "failure", message=_clean(_headline(result)))
                failure.text = _clean("\n".join(_told(result)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def summary(report: Report) -> str:
    """Return the counts."""
    passed = sum(result.has_passed for result in report.results)
    failed = len(report.results) - passed
    files = len({result.path for result in report.results})
    tests = f"{_count(len(report.results), 'test')} in {_count(files, 'file')}"
    told = f"{tests}: {passed} passed, {failed} failed"
    if report.problems:
        told += f", {_count(len(report.problems), 'mistake')} in files"
    return told


# One test -------------------------------------------------------------------------------------


def _told(result: Result) -> Iterator[str]:
    """Yield expectations and effects beside each other, and why something did not come."""
    yield f"      began at {result.test.start.isoformat()}; - did not come, + was not expected"
    for trouble in result.troubles:
        yield f"    ! {trouble.place}: {trouble.text}"
    rows = [_row(line) for line in result.lines]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for number, (line, row) in enumerate(zip(result.lines, rows, strict=True)):
        mark = "-" if line.is_missing else "+" if line.is_unexpected else " "
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        where = _where(line)
        yield f"    {mark} {cells}{f'  {where}' if where else ''}".rstrip()
        for reason in result.reasons.get(number, ()):
            yield f"        {reason}"


def _row(line: Line) -> tuple[str, str, str]:
    """Return time, session and effect, as expected where it was expected."""
    shown: Expected | Effect | None = line.expected or line.effect
    if shown is None:
        return "", "", ""
    value = shown.value if isinstance(shown, Expected) else shown.args
    told = f"{shown.action}: {_value(value)}"
    return format_duration(shown.at_ms / 1000), shown.session or "-", _cut(told)


def _where(line: Line) -> str:
    """Return where what is wrong comes from, and how a step failed; nothing for what is right."""
    expected, effect = line.expected, line.effect
    if effect is None:
        return "" if expected is None else str(expected.place)
    if expected is None:
        return f"{effect.place}, rule '{effect.rule_id}'"
    return f"failed: {effect.failure}" if effect.failure else ""


def _headline(result: Result) -> str:
    missing = sum(line.is_missing for line in result.lines)
    unexpected = sum(line.is_unexpected for line in result.lines)
    parts = [
        f"{missing} did not come" if missing else "",
        f"{unexpected} not expected" if unexpected else "",
        *(trouble.text for trouble in result.troubles),
    ]
    return ", ".join(filter(None, parts))


def _value(value: JSON) -> str:
    """Return arguments on one line, as in a test file."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return spelled(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


# Coverage -------------------------------------------------------------------------------------


def _covered(coverage: Coverage) -> Iterator[str]:
    gaps = coverage.gaps()
    for gap in gaps:
        yield f"{gap.place}: {gap.lacks}: {gap.text}"
    seen, all_ = coverage.counts
    share = f" ({100 * seen // all_} %)" if all_ else ""
    by_kind = Counter(gap.lacks for gap in gaps)
    told = "".join(f", {number} {kind}" for kind, number in sorted(by_kind.items()))
    yield f"coverage: {seen} of {all_} outcomes of conditions seen{share}{told}"


# Formats --------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """Return text that XML can bear."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
