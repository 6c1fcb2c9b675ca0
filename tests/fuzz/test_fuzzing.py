"""One percent of the fuzzing, the same each time unless told, and that it finds what is wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz import decoding
from tests.fuzz.__main__ import Cases
from tests.fuzz.judging import Fault, judge

ROOT = Path(__file__).parents[2]

SEED = os.environ.get("IMBOT_SEED", "6")


def fuzz(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer: a process of its own may fork, and limits what its workers may take."""
    command = [sys.executable, "-m", "tests.fuzz", "--folder", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(600)
def test_nothing_that_is_written_breaks_the_checker(tmp_path):
    """What fails names the seed and the case, which then belongs into a unit test."""
    done = fuzz(["--seed", SEED, "--rules", "10000", "--expressions", "3000"], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    read, taken = re.search(r"files +(\S+)% are YAML, +(\S+)% without", done.stdout).groups()
    assert float(read) >= 50
    assert float(taken) >= 10


@pytest.mark.timeout(300)
def test_nothing_that_gws_says_breaks_what_reads_it(tmp_path):
    """Five million are played by make fuzz DECODER=5000000; these are a sample of them."""
    done = fuzz(["--seed", SEED, "--decoder", "20000"], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("replys", "answers", "rows"):
        (read,) = re.search(rf"{kind} +(\S+)% read", done.stdout).groups()
        assert float(read) >= 15
    (grown_kib,) = re.search(r"at most (\d+) KiB more", done.stdout).groups()
    assert int(grown_kib) < 4096


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("reply", b'[{"channel":"/meta/connect","id":"1","successful":true}]'),
        ("answer", b'{"statusCode":0,"imSessions":[]}'),
        ("row", b'{"id":"S1","state":"Talking"}'),
    ],
)
def test_a_right_answer_of_gws_is_read(kind, text):
    assert judge(kind, text).is_taken


def test_an_edge_that_lets_too_much_through_is_found(monkeypatch):
    monkeypatch.setattr("imbot.gws.notifications.clean_text", lambda text: text)
    spoken = b'{"messageType":"IMLogUpdateMessage","imSessionPath":"/S1","message":"\\u0007"}'

    reply = b'[{"channel":"/x","data":' + spoken + b"}]"
    # The length says which HTTP status it comes with.
    bodies = [reply + b" " * padding for padding in range(8)]

    with pytest.raises(decoding.WrongError, match="lets through"):
        list(map(decoding.read_reply, bodies))


def test_a_seed_and_a_number_are_a_case():
    one, other = Cases(7), Cases(7)

    assert [one.case("file", number) for number in range(30)] == [
        other.case("file", number) for number in range(30)
    ]
    assert one.case("file", 1) != Cases(8).case("file", 1)
    assert one.case("decoder", 5) == other.case("decoder", 5) != Cases(8).case("decoder", 5)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("raise KeyError('x')", "uncaught KeyError"),
        ("os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
        ("kept or kept.append(bytearray(300 << 20))", "needs 3"),
        ("sum(range(20_000_000))", "ms of CPU"),
    ],
)
def test_a_broken_checker_is_found(broken, told, tmp_path):
    """The fuzzer must be able to fail, and go on behind the case that killed its process."""
    asked = ["--seed", "1", "--rules", "40", "--expressions", "0", "--folder", str(tmp_path)]
    program = f"""
import os, sys
from tests.fuzz import __main__ as fuzzer, judging
kept = []
def broken(text):
    if len(text) % 9 == 0: {broken}
    return judging.Verdict(True, True)
judging._JUDGES["file"] = broken
fuzzer._warm = lambda: None
sys.exit(fuzzer.main({asked}))
"""

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1, done.stderr
    assert told in done.stdout
    assert done.stdout.startswith("seed 1: 40 cases")


@pytest.mark.parametrize("kind", ["file", "condition", "template"])
def test_a_correct_text_is_taken(kind):
    text = {"file": "version: 1\nrules: []\n", "condition": "True", "template": "{{ 1 }}"}[kind]

    assert judge(kind, text.encode()).is_taken


def test_a_problem_without_a_place_in_the_text_is_a_fault(monkeypatch):
    monkeypatch.setattr("tests.fuzz.judging._place", lambda line, _: f"fuzz.yaml:{line}")

    with pytest.raises(Fault, match="no place"):
        judge("condition", b"nosuch")
