"""What people install: the wheel, in an environment with nothing but what the wheel asks for."""

import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from imbot import __version__

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
INSTALL_S, COMMAND_S = 600.0, 60.0

#: What pip says when there is nowhere to fetch from, whatever the wheel asks for.
NO_INDEX = re.compile("Could not find a version|No matching distribution|Connection|Network")

#: What the demo says to open, the second with a token of its own.
CHAT = re.compile(r"Open (http\S+)")
INSIDE = re.compile(r"Look inside and steer at (http\S+)/login#(imbot_\S+)")

#: Where the wheel has what stands elsewhere in a checkout.
MOVED = {"plugins": "imbot/_shipped", "rules": "imbot/_shipped", "docs": "imbot/_shipped"}


def python(*words, cwd=ROOT):
    return ended([sys.executable, *words], cwd=cwd, timeout=INSTALL_S)


def ended(words, **options):
    return subprocess.run(words, check=False, capture_output=True, text=True, **options)  # noqa: S603


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder with the wheel and the source distribution, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    done = python("-m", "hatchling", "build", "-d", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a new environment into which the wheel was installed."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    pins = home / "pins.txt"
    pins.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", constraints(), re.MULTILINE)))
    words = ["-m", "pip", "--python", str(home), "install", "--quiet", "-c", str(pins), str(wheel)]
    done = python(*words)
    if done.returncode and NO_INDEX.search(done.stderr) and "CI" not in os.environ:
        pytest.skip("no index of packages can be reached, so what the wheel needs cannot be had")
    assert done.returncode == 0, done.stderr
    return home / "bin"


def constraints():
    return (ROOT / "constraints.txt").read_text()


@pytest.fixture
def imbot(installed, tmp_path):
    """Run a command of the installed imbot in a folder that is not the checkout."""

    def run(*words, cwd=tmp_path):
        words = [installed / "imbot", *words]
        return ended(words, cwd=cwd, env=elsewhere(), timeout=COMMAND_S)

    return run


def elsewhere():
    """Return an environment that leads to no checkout and to no settings of anybody's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMBOT_")}
    kept.pop("PYTHONPATH", None)
    return {**kept, "NO_COLOR": "1", "NO_PROXY": "*", "COLUMNS": "200"}


def in_tree():
    """Yield where the wheel must have each file of ours that an installed imbot may read."""
    for top in ("imbot", "plugins", "rules", "docs/schema"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                above = MOVED.get(name.partition("/")[0])
                yield f"{above}/{name}" if above else name


def test_the_wheel_carries_everything_and_nothing_else(wheel):
    """A template, a page or py.typed that is missing is missed only where no checkout stands by."""
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}

    assert found == set(in_tree())
    assert {"imbot/py.typed", "imbot/simulator/chat.html"} <= found


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/METADATA")]
        told = file.read(name).decode()
        licences = {name.partition(".dist-info/licenses/")[2] for name in file.namelist()} - {""}

    assert f"\nVersion: {__version__}\n" in told
    assert "\nLicense-Expression: Apache-2.0 AND 0BSD AND MIT\n" in told
    vendor = "imbot/admin/dashboard/static/vendor"
    assert licences == {"LICENSE", f"{vendor}/htmx.LICENSE", f"{vendor}/uplot.LICENSE"}


def test_from_the_source_distribution_the_same_wheel_is_made(dist, wheel, tmp_path):
    """Whoever refuses wheels must not get another imbot."""
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as file:
        file.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=unpacked)
    assert done.returncode == 0, done.stderr
    (again,) = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {each.filename: each.CRC for each in one.infolist()} == {
            each.filename: each.CRC for each in other.infolist()
        }


def test_an_installed_imbot_says_its_version(imbot):
    done = imbot("--version")

    assert (done.returncode, done.stdout) == (0, f"{__version__}\n"), done.stderr


def test_an_installed_imbot_begins_a_bot_and_checks_it(imbot, tmp_path):
    """The templates, the schemas, the plugins and the rule tests are all read from the wheel."""
    begun = imbot("new", "bot", "robin")
    checked = imbot("check", "--strict", cwd=tmp_path / "robin")
    tested = imbot("test", "rules/", cwd=tmp_path / "robin")
    plugins = imbot("plugins", cwd=tmp_path / "robin")

    for done in (begun, checked, tested, plugins):
        assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "robin" / "schema").iterdir()} == {
        *("rules.json", "settings.json", "test.json")
    }
    assert str(ROOT) not in plugins.stdout


def test_an_installed_imbot_demos(installed, tmp_path):
    """The first thing that anybody sees of imbot; its page is served from the wheel, too."""
    with subprocess.Popen(  # noqa: S603  our own words
        [installed / "imbot", "demo", "--seconds", "5", "--admin-port", "0"],
        cwd=tmp_path,
        env=elsewhere(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        chat = next(found[1] for line in demo.stdout if (found := CHAT.match(line)))
        page = fetched(chat)
        admin, token = next(found.groups() for line in demo.stdout if (found := INSIDE.match(line)))
        health = fetched(f"{admin}/health")
        told = fetched(f"{admin}/api/v1/health", token)
        rest = demo.stdout.read()

    assert demo.returncode == 0, rest
    assert re.search(r"^[1-9]\d* sessions, [1-9]\d* served: ", rest, re.MULTILINE), rest
    assert page == (ROOT / "imbot" / "simulator" / "chat.html").read_text()
    assert json.loads(health)["agents"] == json.loads(told)["agents"]
    assert token not in rest


def fetched(url, token=""):
    request = urllib.request.Request(url)  # noqa: S310  http, ours
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=COMMAND_S) as reply:  # noqa: S310  likewise
        return reply.read().decode()


def test_what_is_installed_is_what_the_wheel_asks_for(installed):
    """Nothing that only developers have is needed to run; nothing that is needed is missing."""
    done = python("-m", "pip", "--python", str(installed.parent), "check")

    assert done.returncode == 0, done.stdout
