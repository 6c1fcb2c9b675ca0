"""Plugins found, loaded and checked: each with a status, none in the way of the others."""

import asyncio
import sys
from textwrap import dedent

import pytest
from pydantic import SecretStr

from imbot.pluginhost import (
    SELF_CHECK_S,
    PluginSettings,
    PluginStatus,
    check_plugins,
    find_plugins,
)
from imbot.settings import Spelled
from imbot.shipped import shipped

STANDARD = ["completion", "crm", "http", "initiate", "reply", "tagging"]

GOOD = """
from pydantic import BaseModel
from imbot.plugin import Plugin, action

class Args(BaseModel): ...

@action("{name}.do", args=Args)
async def do(ctx, args): ...

plugin = Plugin("{name}", actions=(do,))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of plugins of one's own."""
    path = tmp_path / "own"
    path.mkdir()
    return path


def write(folder, file="notify.py", text=GOOD, **words):
    """Write a plugin; its name is the file's unless told otherwise."""
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    words = {"name": path.stem, **words}
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", value)
    path.write_text(dedent(text))
    return path


def own(folder, **given):
    """Return what was found beside the standard plugins, by name and in order."""
    plugins = find_plugins(PluginSettings(paths=(folder,), **given))
    return [found for found in plugins.found if found.name not in STANDARD]


def only(folder, **given):
    """Return the one plugin of one's own."""
    (found,) = own(folder, **given)
    return found


# Found ----------------------------------------------------------------------------------------


def test_the_standard_plugins_are_there_and_only_crm_wants_options():
    """All are enabled by default; the CRM cannot be guessed."""
    plugins = find_plugins(PluginSettings())

    assert [found.name for found in plugins.found] == STANDARD
    assert [found.name for found in plugins.enabled] == [n for n in STANDARD if n != "crm"]
    assert plugins.unavailable == {
        "crm.lookup": "plugin crm: disabled: set plugins.options.crm.url to use it",
        "crm.upsert": "plugin crm: disabled: set plugins.options.crm.url to use it",
    }
    assert plugins.warnings == ()


def test_without_settings_every_standard_plugin_can_be_checked_against():
    """`imbot check` of one rule file needs no settings."""
    plugins = find_plugins(PluginSettings(), with_options=False)

    assert plugins.unavailable == {}
    assert set(plugins.actions) == {
        *("complete", "crm.lookup", "crm.upsert", "http", "initiate", "reply", "set", "unset")
    }
    # By its module whoever blocks the event loop is named.
    for action in plugins.actions.values():
        assert plugins.modules[action.run.__module__] in {"completion", "crm", "http"} | {
            *("initiate", "reply", "tagging")
        }


def test_a_folder_holds_modules_and_packages(folder):
    """What begins with _ or a dot, and what is no Python, is something else."""
    write(folder, "notify.py")
    write(folder, "pager/__init__.py", "from .whole import plugin")
    write(folder, "pager/whole.py", GOOD, name="pager")
    for name in ("_shared.py", ".hidden.py", "README.md"):
        (folder / name).write_text("raise SystemExit")
    (folder / "empty").mkdir()

    assert [(one.name, one.status, one.origin) for one in own(folder)] == [
        ("notify", "enabled", str(folder / "notify.py")),
        ("pager", "enabled", str(folder / "pager")),
    ]


def test_a_plugin_never_shadows_a_module_of_the_same_name(folder):
    """plugins/http.py is not the standard library's http."""
    write(folder, "json.py")
    before = sys.modules["json"]

    assert only(folder).status is PluginStatus.ENABLED
    assert sys.modules["json"] is before


def test_the_folder_that_ships_is_not_read_twice(folder):
    """In a checkout, `paths: [plugins/]` names it."""
    plugins = find_plugins(PluginSettings(paths=(shipped("plugins"), folder, folder)))

    assert [found.name for found in plugins.found] == STANDARD


def test_a_folder_that_is_not_there_is_told(tmp_path):
    """A mistyped path must not look like no plugins."""
    found = only(tmp_path / "none")

    assert (found.name, found.status) == ("none", PluginStatus.FAILED_TO_LOAD)
    assert found.reason == "this folder of plugins cannot be read: No such file or directory"


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Return a function that installs a distribution with these entry points and modules."""
    site = tmp_path / "site"

    def install(points, **modules):
        about = site / "imbot_pager-1.2.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: imbot-pager\nVersion: 1.2\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (about / "entry_points.txt").write_text(f"[imbot.plugins]\n{lines}")
        for name, text in modules.items():
            write(site, f"{name}.py", text, name="pager")
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(site)

    yield install
    for name in [name for name in sys.modules if name.startswith("imbot_pager")]:
        del sys.modules[name]


@pytest.mark.parametrize("value", ["imbot_pager:plugin", "imbot_pager"])
def test_an_installed_distribution_is_found_by_its_entry_point(tmp_path, distribution, value):
    """It names the plugin, or the module that has one."""
    distribution({"pager": value}, imbot_pager=GOOD)

    found = only(tmp_path)

    assert (found.name, found.status) == ("pager", PluginStatus.ENABLED)
    assert found.origin == "imbot-pager 1.2"


def test_an_entry_point_that_leads_nowhere_is_told(tmp_path, distribution):
    """A distribution half removed."""
    points = {"a": "imbot_pager_gone:plugin", "b": "imbot_pager:plug", "c": "imbot_pager:Args"}
    distribution(points, imbot_pager=GOOD)

    gone, no_name, no_plugin = own(tmp_path)

    assert gone.reason.startswith("ModuleNotFoundError: No module named 'imbot_pager_gone' (")
    assert no_name.reason.startswith("AttributeError: module 'imbot_pager' has no attribute 'plug'")
    assert no_plugin.reason == "'plugin' is a ModelMetaclass, not an imbot.plugin.Plugin"
    assert {one.status for one in (gone, no_name, no_plugin)} == {PluginStatus.FAILED_TO_LOAD}


# Loaded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 +", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("\n\nraise ValueError('no')", "ValueError: no ({path}:3)"),
        ("def f():\n    assert 0\nf()", "AssertionError ({path}:2)"),
        ("import sys\nsys.exit('bye')", "SystemExit: bye ({path}:2)"),
        ("raise BaseException('odd')", "BaseException: odd ({path}:1)"),
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found' ({path}:1)",
        ),
        (
            "",
            (
                "it has no 'plugin'; write plugin = Plugin('name', actions=(...,)), or begin the "
                "name of a file that is none with _"
            ),
        ),
        ("plugin = 7", "'plugin' is a int, not an imbot.plugin.Plugin"),
        (
            "from imbot.plugin import Plugin\nplugin = Plugin('a b')",
            "plugin name 'a b': write letters, digits, '_' and '-'",
        ),
        (
            "from imbot.plugin import Plugin\nplugin = Plugin('a', api_version=2)",
            "it needs plugin API 2; this imbot has 1",
        ),
    ],
)
def test_a_module_that_fails_says_why_and_where(folder, text, reason):
    """Its author is somebody else, and the log is all they get."""
    path = write(folder, "bad.py", text)
    write(folder, "good.py")

    bad, good = own(folder)

    assert bad.status is PluginStatus.FAILED_TO_LOAD
    assert bad.reason == reason.replace("{path}", str(path))
    assert good.status is PluginStatus.ENABLED
    assert not [name for name in sys.modules if name.endswith("_bad") and "raise" in text]


def test_ctrl_c_while_a_plugin_loads_is_no_mistake_of_the_plugin(folder):
    write(folder, "bad.py", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        own(folder)


def test_what_a_broken_plugin_would_offer_stands_under_its_name(folder):
    """Nobody knows its actions, so rules that need it can only guess by the name."""
    write(folder, "pager.py", "raise ValueError")
    plugins = find_plugins(PluginSettings(paths=(folder,)))

    assert plugins.unavailable["pager"].startswith("plugin pager: failed to load: ValueError")


def test_a_second_plugin_of_a_name_fails_and_says_where_the_first_is(folder):
    """The standard ones come first."""
    write(folder, "mine.py", GOOD, name="reply")
    plugins = find_plugins(PluginSettings(paths=(folder,)))

    mine = plugins.found[-1]

    assert mine.status is PluginStatus.FAILED_TO_LOAD
    assert mine.reason == f"a plugin of this name comes from {shipped('plugins') / 'reply.py'}"
    assert "failed to load" in plugins.unavailable["reply.do"]
    assert "reply" in plugins.actions


def test_a_plugin_whose_action_is_taken_fails(folder):
    """Which of two would run must not depend on the order of files."""
    write(folder, "a.py")
    write(folder, "b.py", GOOD.replace("{name}.do", "a.do"))
    write(folder, "c.py", GOOD.replace("{name}.do", "b.do"))

    a, b, c = own(folder)

    assert (a.status, b.status, c.status) == ("enabled", "failed to load", "enabled")
    assert b.reason == "the plugin a offers a.do already"


def test_a_plugin_may_take_the_place_of_one_that_is_not_used(folder):
    """Whoever disables the standard CRM has another."""
    write(folder, "ours.py", GOOD.replace("{name}.do", "crm.lookup"))

    assert only(folder).status is PluginStatus.ENABLED
    with_crm = only(folder, options={"crm": {"url": "https://crm.example"}})
    assert with_crm.reason == "the plugin crm offers crm.lookup already"
    assert only(folder, disabled=frozenset({"crm"})).status is PluginStatus.ENABLED


# Settings -------------------------------------------------------------------------------------


def test_a_plugin_may_be_disabled_by_name(folder):
    """Even one that is broken otherwise."""
    write(folder, "reply2.py", GOOD, name="notify")
    write(folder, "notify.py")

    first, second = own(folder, disabled=frozenset({"notify"}))

    assert first.status is second.status is PluginStatus.DISABLED
    assert first.reason == "listed in plugins.disabled"
    assert first.actions


WITH_OPTIONS = (
    GOOD.replace(
        "plugin =",
        """class Inner(BaseModel, extra="forbid"):
    size: int = 1

class Options(Model):
    url: str
    token: str = ""
    code: str | list[str] = ""
    level: Literal[1, 2] = 1
    factor: float = 1.0
    inner: Inner = Inner()
    many: list[str] = []
    odd: str = "x"

    @field_validator("odd")
    @classmethod
    def is_odd(cls, value):
        if value == "even":
            raise ValueError("this is even")
        return value

plugin =""",
    )
    .replace("actions=(do,)", "actions=(do,), options=Options")
    .replace(
        "from pydantic import BaseModel",
        "from typing import Literal\nfrom imbot.plugin import Model\n"
        "from pydantic import BaseModel, field_validator",
    )
)


def test_options_are_checked_against_the_plugins_model(folder):
    """Secrets are laid open for it alone; numbers are as spelled where it wants text."""
    write(folder, "notify.py", WITH_OPTIONS)
    given = {
        "url": SecretStr("https://x"),
        "token": Spelled(815, "0815"),
        "code": Spelled(1.5, "1.50"),
        "level": Spelled(2, "2"),
        "factor": Spelled(3, "3"),
        "inner": {"size": Spelled(7, "7")},
        "many": [Spelled(1, "1"), "b"],
    }
    found = only(folder, options={"notify": given})

    assert found.status is PluginStatus.ENABLED
    assert found.options.model_dump() == {
        "url": "https://x",
        "token": "0815",
        "code": "1.50",
        "level": 2,
        "factor": 3.0,
        "inner": {"size": 7},
        "many": ["1", "b"],
        "odd": "x",
    }


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "plugins.options.notify.url is missing"),
        (
            {"url": "x", "tokn": "s3cret"},
            "plugins.options.notify.tokn is no option; did you mean 'token'?",
        ),
        (
            {"url": ["s3cret"], "odd": "even", "inner": {"size": "s3cret"}},
            (
                "plugins.options.notify.url: Input should be a valid string; "
                "plugins.options.notify.inner.size: Input should be a valid integer, unable to "
                "parse string as an integer; plugins.options.notify.odd: this is even"
            ),
        ),
    ],
)
def test_bad_options_are_told_all_at_once_and_never_shown(folder, given, reason):
    """They may be secrets."""
    write(folder, "notify.py", WITH_OPTIONS)

    found = only(folder, options={"notify": given})

    assert (found.status, found.reason) == (PluginStatus.BAD_OPTIONS, reason)


def test_options_for_a_plugin_that_takes_none_are_told(folder):
    """They have no effect, and somebody thinks they do."""
    write(folder, "notify.py")

    assert only(folder, options={"notify": {}}).status is PluginStatus.ENABLED
    found = only(folder, options={"notify": {"url": "x"}})
    assert (found.status, found.reason) == (PluginStatus.BAD_OPTIONS, "it takes no options")


def test_options_go_with_each_action(folder):
    """The engine hands them to whatever it calls."""
    write(folder, "notify.py", WITH_OPTIONS)
    plugins = find_plugins(PluginSettings(paths=(folder,), options={"notify": {"url": "x"}}))

    assert plugins.options["notify.do"].url == "x"
    assert plugins.options["reply"] is None


def test_settings_that_name_a_plugin_that_is_not_there_warn():
    """A misspelt name would disable nothing and set nothing."""
    settings = PluginSettings(disabled=frozenset({"replay"}), options={"crmm": {}})

    assert [str(problem) for problem in find_plugins(settings).warnings] == [
        (
            "plugins.options.crmm: warning[unknown-plugin]: there is no plugin 'crmm'; did you "
            "mean 'crm'?"
        ),
        (
            "plugins.disabled.replay: warning[unknown-plugin]: there is no plugin 'replay'; did "
            "you mean 'reply'?"
        ),
    ]


# Self-checks ----------------------------------------------------------------------------------

CHECKED = GOOD.replace(
    "plugin =",
    """import asyncio
from imbot.plugin import PluginError

async def check(options):
    {check}

plugin =""",
).replace("actions=(do,)", "actions=(do,), self_check=check")


async def checked(folder, **given):
    """Return what became of the plugins of one's own."""
    plugins = await check_plugins(find_plugins(PluginSettings(paths=(folder,), **given)))
    return [found for found in plugins.found if found.name not in STANDARD]


@pytest.mark.parametrize(
    ("check", "status", "reason"),
    [
        ("return", "enabled", ""),
        ("raise PluginError('no gateway')", "failed self-check", "no gateway"),
        ("raise KeyError('x')", "failed self-check", "KeyError: 'x' ({path}:14)"),
        ("raise TimeoutError", "failed self-check", "TimeoutError ({path}:14)"),
        ("raise SystemExit(3)", "failed self-check", "SystemExit: 3 ({path}:14)"),
    ],
)
async def test_a_self_check_says_whether_a_plugin_can_work_here(folder, check, status, reason):
    """Whatever it raises, the others stay."""
    path = write(folder, "a.py", CHECKED, check=check)
    write(folder, "b.py")

    a, b = await checked(folder)

    assert (a.status, a.reason) == (status, reason.replace("{path}", str(path)))
    assert b.status is PluginStatus.ENABLED


@pytest.mark.looptime
async def test_self_checks_that_hang_are_given_up_all_at_the_same_time(folder):
    """Ten of them must not hold the start for ten times as long."""
    for name in ("a.py", "b.py", "c.py"):
        write(folder, name, CHECKED, check="await asyncio.sleep(3600)")
    loop = asyncio.get_running_loop()
    before = loop.time()

    found = await checked(folder)

    assert {one.reason for one in found} == {"its self-check took longer than 10 s"}
    assert {one.status for one in found} == {PluginStatus.FAILED_SELF_CHECK}
    assert loop.time() - before == SELF_CHECK_S


async def test_a_plugin_that_is_not_enabled_is_not_checked(folder):
    """Disabled means that none of it runs."""
    write(folder, "a.py", CHECKED, check="raise KeyError")

    (found,) = await checked(folder, disabled=frozenset({"a"}))

    assert found.status is PluginStatus.DISABLED


async def test_cancelling_the_checks_cancels_each_of_them(folder):
    """Ctrl-C at the start."""
    path = folder / "seen"
    write(
        folder,
        "a.py",
        CHECKED.replace(
            "    {check}",
            """    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        open("{seen}", "w").close()
        raise""",
        ),
        seen=str(path),
    )
    task = asyncio.create_task(checked(folder))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert "seen" in [found.name for found in folder.iterdir()]
