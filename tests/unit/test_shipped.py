"""Where the plugins and rules that ship are, from every way of installing imbot."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imbot.shipped import shipped

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["plugins", "rules"])
def test_in_a_checkout_they_stand_beside_the_package(what):
    """Whoever changes a rule that ships edits it there."""
    assert shipped(what) == ROOT / what
    assert list(shipped(what).iterdir())


def test_in_a_wheel_they_stand_inside_the_package(tmp_path):
    """No top-level package `plugins` lands in anybody's site-packages, nor is one looked at."""
    package = tmp_path / "imbot"
    (package / "_shipped" / "plugins").mkdir(parents=True)
    (tmp_path / "plugins").mkdir()

    assert shipped("plugins", package) == package / "_shipped" / "plugins"


def test_the_wheel_carries_them_and_finds_them(tmp_path):
    """Built, unpacked and asked by a Python that does not see the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603  our own words
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    asked = (
        "import imbot; from imbot.pluginhost import *; from imbot.shipped import shipped\n"
        "found = find_plugins(PluginSettings(), with_options=False).found\n"
        "print(imbot.__file__, len(list(shipped('rules').glob('*.yaml'))))\n"
        "print(*(f'{one.name}={one.status}' for one in found))"
    )
    answer = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-P", "-c", asked],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    place, plugins = answer.stdout.splitlines()
    rules = len(list(shipped("rules").glob("*.yaml")))
    assert place == f"{tmp_path}/site/imbot/__init__.py {rules}"
    assert plugins.split() == [
        f"{name}=enabled" for name in ("completion", "crm", "http", "initiate", "reply", "tagging")
    ]
    package = tmp_path / "site" / "imbot"
    greeting = package / "_shipped" / "rules" / "greeting.yaml"
    header = greeting.read_text().partition("\n")[0]
    assert (greeting.parent / header.partition("$schema=")[2]).is_file()
    assert named(package / "templates") == named(ROOT / "imbot" / "templates")


def named(folder):
    """Return the paths of the files below a folder."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
