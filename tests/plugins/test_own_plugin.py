"""The packaged example: installed as anybody's plugin would be, and found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AROUND = {"BOT1_PASSWORD": "pw", "PYTHONDONTWRITEBYTECODE": "1"}
EXAMPLE = Path(__file__).parents[2] / "examples" / "04-own-plugin"


def python(*words, site, cwd):
    """Run this Python with a folder of installed packages; return what it wrote."""
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **AROUND, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, built by its own pyproject and installed into a folder, offline."""
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    words = ["-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(EXAMPLE)]
    python(*words, site="", cwd=target)
    return target


def test_it_is_found_by_its_entry_point_and_its_rules_pass(site, tmp_path):
    """`imbot check` knows its arguments without a word about it but its options."""
    config = str(EXAMPLE / "imbot.yaml")

    listed = python("-m", "imbot", "plugins", "--config", config, site=site, cwd=tmp_path)
    python("-m", "imbot", "check", "--config", config, site=site, cwd=tmp_path)

    (faq,) = [line.split("\t") for line in listed.splitlines() if line.startswith("faq")]
    assert faq == ["faq", "enabled", "faq.answer", "", "imbot-faq 1.0"]


def test_its_own_tests_pass(site, tmp_path):
    """With the fakes that imbot offers to plugin authors."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}"]
    told = python(
        *words, "-c", str(EXAMPLE / "pyproject.toml"), str(EXAMPLE), site=site, cwd=tmp_path
    )

    assert "3 passed" in told
