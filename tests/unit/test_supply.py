"""What imbot is made of: the audit that fails rather than passes, the bill of materials, the rest.

The services that know of faults are played by a program that answers as pip-audit does.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


auditing, billing = loaded("audit"), loaded("sbom")

PLAYED = """
import json, sys, time
words = sys.argv[1:]
service = words[words.index("--vulnerability-service") + 1]
answers = json.load(open({answers!r}))[service]
lines = open(words[words.index("--requirement") + 1]).read().split()
if isinstance(answers, str):
    time.sleep(30 * (answers == "slow"))
    sys.exit("Traceback\\n" + answers)
print(json.dumps({{"dependencies": [
    {{"name": name, "version": version, **answers.get(name, {{"vulns": []}})}}
    for name, _, version in (line.partition("==") for line in lines)
    if answers.get(name) != "left out"
]}}))
"""
FAULT = {"vulns": [{"id": "GHSA-1", "fix_versions": ["3.1.6"], "aliases": [], "description": ""}]}
SKIPPED = {"skip_reason": "Dependency not found on PyPI"}
KNOWING = {"jinja2": FAULT}
DOWN = "ConnectionError: Failed to resolve 'api.example'"


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """Audit `rich` and `typer` with what the services answer; return the code and what is told."""
    played = tmp_path / "pip_audit"
    played.mkdir()
    (played / "__init__.py").touch()  # else the one that is installed would come first
    answers = tmp_path / "answers.json"
    (played / "__main__.py").write_text(PLAYED.format(answers=str(answers)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("rich==15.0.0\ntyper==0.29.2\n")

    def run(**services):
        answers.write_text(json.dumps(services))
        code = auditing.audit(requirements)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


# The audit ------------------------------------------------------------------------------------


def test_an_audit_that_finds_nothing_says_who_was_asked(audit):
    assert audit(pypi=KNOWING, osv=DOWN) == (0, "pypi knows of no fault in 2 packages\n")


def test_a_fault_is_told_with_its_cure(audit):
    code, told = audit(pypi={**KNOWING, "rich": FAULT}, osv=DOWN)

    assert code == auditing.FOUND
    assert "rich 15.0.0: GHSA-1, mended in 3.1.6" in told


def test_another_service_is_asked_where_one_does_not_answer(audit):
    assert audit(pypi=DOWN, osv=KNOWING)[0] == 0


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ({"pypi": DOWN, "osv": DOWN}, "osv: ConnectionError: Failed to resolve"),
        ({"pypi": {}, "osv": DOWN}, "pypi: it knows of nothing bad in jinja2==3.1.4"),
        ({"pypi": {"jinja2": SKIPPED}, "osv": DOWN}, "pypi: jinja2: Dependency not found on PyPI"),
        ({"pypi": {**KNOWING, "rich": SKIPPED}}, "rich: Dependency not found on PyPI"),
        ({"pypi": {**KNOWING, "rich": "left out"}}, "rich: not asked about"),
    ],
)
def test_an_audit_that_could_not_ask_fails(audit, services, told):
    """pip-audit itself ends with 0 where it passed everything over."""
    code, said = audit(**services)

    assert code == auditing.NOT_DONE
    assert said.startswith("the audit was not done:\n")
    assert told in said


def test_an_audit_that_takes_too_long_fails(audit, monkeypatch):
    monkeypatch.setattr(auditing, "_TIMEOUT_S", 0.5)

    code, said = audit(pypi="slow", osv="slow")

    assert code == auditing.NOT_DONE
    assert "pypi: no answer within 0.5 s" in said


def test_an_environment_without_pip_audit_fails(tmp_path, monkeypatch, capsys):
    """Passing for want of the program would be the worst."""
    (tmp_path / "pip_audit.py").write_text("raise ImportError('No module named pip_audit')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert auditing.audit(ROOT / "constraints.txt") == auditing.NOT_DONE
    assert "No module named pip_audit" in capsys.readouterr().err


def test_everything_in_the_lock_is_asked_about():
    names = auditing.pinned((ROOT / "constraints.txt").read_text())

    assert {"aiohttp", "aiocometd", "typing-extensions", "uvloop"} <= names
    assert "colorama" not in names or sys.platform == "win32"


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}([-_.][a-z0-9]{1,4})?", fullmatch=True)


@given(st.dictionaries(NAMES, st.integers(0, 99), max_size=6))
def test_no_line_of_a_lock_is_passed_over(pins):
    """Whatever hashes and comments stand between."""
    lines = (
        f"{name}=={number}.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n    # via x\n"
        for name, number in pins.items()
    )

    assert auditing.pinned("# made by y\n" + "".join(lines)) == {
        re.sub("[-_.]+", "-", name) for name in pins
    }


# The bill of materials ------------------------------------------------------------------------


def component(name, *licences):
    return {
        "bom-ref": f"{name}==1",
        "name": name,
        "version": "1",
        "licenses": [
            {"expression": each} if " " in each else {"license": {"id": each}} for each in licences
        ],
    }


BOM = {
    "metadata": {"component": {"name": "imbot", "bom-ref": "root-component"}},
    "components": [component("A_b", "MIT"), component("c", "MIT OR Apache-2.0"), component("test")],
    "dependencies": [
        {"ref": "root-component", "dependsOn": ["A_b==1", "test==1"]},
        {"ref": "A_b==1", "dependsOn": ["c==1", "test==1"]},
        {"ref": "c==1"},
        {"ref": "test==1", "dependsOn": ["c==1"]},
    ],
}


def test_what_only_developers_need_is_left_out():
    bom = billing.pruned(BOM, ["a-b", "C"], "0.1.0")

    assert [each["name"] for each in bom["components"]] == ["A_b", "c"]
    assert bom["dependencies"] == [
        {"ref": "root-component", "dependsOn": ["A_b==1"]},
        {"ref": "A_b==1", "dependsOn": ["c==1"]},
        {"ref": "c==1", "dependsOn": []},
    ]
    assert bom["metadata"]["component"]["version"] == "0.1.0"


def test_a_licence_that_nobody_looked_at_is_told():
    """None at all is one of those."""
    strange = component("x", "GPL-3.0-only")
    mixed = component("y", "MIT AND SSPL-1.0")
    bom = {**BOM, "components": [*BOM["components"], strange, mixed]}

    assert list(billing.refused(bom)) == [
        "test 1: none is named",
        "x 1: GPL-3.0-only",
        "y 1: MIT AND SSPL-1.0",
    ]


def test_what_imbot_needs_is_found_through_others():
    found = billing.required()

    assert {"aiohttp", "yarl", "multidict", "pydantic-core", "six"} <= found
    assert not found & {"pytest", "mypy", "hatchling", "zensical", "imbot"}


def test_files_of_others_in_the_tree_are_in_the_bill_with_their_hashes():
    """No package of the environment brings them, so nothing else would tell of a fault in them."""
    folder = billing.VENDORED.parent
    scripts = {path.name for path in folder.iterdir() if path.suffix in {".js", ".css"}}

    components = billing.vendored(billing.VENDORED.read_text())

    assert [(each["purl"], billing.licences(each)) for each in components] == [
        ("pkg:npm/htmx.org@4.0.1", ["0BSD"]),
        ("pkg:npm/uplot@1.6.32", ["MIT"]),
    ]
    files = [file for each in components for file in each["components"]]
    assert {file["name"] for file in files} == scripts
    for file in files:
        (told,) = file["hashes"]
        assert told["content"] == hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()


def test_imbot_itself_consists_of_them():
    (root, *others) = billing.joined(BOM, [component("x", "MIT")])["dependencies"]

    assert root == {"ref": "root-component", "dependsOn": ["A_b==1", "test==1", "x==1"]}
    assert others == [*BOM["dependencies"][1:], {"ref": "x==1", "dependsOn": []}]


ROW = "| {} | {} {}, dist/x | {} | `{}` |\n"
WORDS = st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True)


@given(st.dictionaries(WORDS, st.tuples(WORDS, st.integers(0, 3), WORDS), max_size=6))
def test_no_row_of_the_table_is_passed_over(rows):
    """Two files of one version are of one component."""
    table = "| file | of | licence | SHA-256 |\n|---|---|---|---|\n" + "".join(
        ROW.format(file, name, version, licence, "0a" * 32)
        for file, (name, version, licence) in rows.items()
    )

    components = billing.vendored(table)

    assert {each["purl"] for each in components} == {
        f"pkg:npm/{name}@{version}" for name, version, _ in rows.values()
    }
    assert sorted(file["name"] for each in components for file in each["components"]) == sorted(
        rows
    )


@pytest.mark.timeout(300)
def test_the_bill_is_written_and_valid(tmp_path, capsys):
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed (extra `audit`)")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert billing.write(tmp_path) == 0, capsys.readouterr().err

    text = (tmp_path / "imbot.cdx.json").read_text()
    bom = json.loads(text)
    short = [{**each, "externalReferences": []} for each in bom["components"]]
    checked = json.dumps({**bom, "components": short})  # addresses take it long
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(checked) is None
    listed = (tmp_path / "licences.txt").read_text().splitlines()
    assert len(listed) == len(bom["components"]) == len(billing.required()) + 2
    assert {"htmx.org 4.0.1: 0BSD", "uplot 1.6.32: MIT"} <= set(listed)
    assert str(ROOT) not in text


# The targets ----------------------------------------------------------------------------------


def wired(target):
    """Return what make would do for a target whose environment is there already."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    words = [make, "--dry-run", "--old-file=.venv/.ready", target]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("audit", ".venv/bin/python deploy/audit.py"),
        ("sbom", ".venv/bin/python deploy/sbom.py build/sbom"),
        ("docs", ".venv/bin/python docs/publish.py build/docs"),
    ],
)
def test_each_target_does_its_one_thing(target, command):
    assert command in wired(target).splitlines()
    assert (ROOT / command.split()[1]).is_file()


def test_tests_ask_nobody_elsewhere():
    """They run where there is no network."""
    assert "audit.py" not in wired("test")


def test_the_lock_is_made_with_every_extra():
    """What `make` installs is what the targets need."""
    project = (ROOT / "pyproject.toml").read_text().partition("optional-dependencies]")[2]
    extras = re.findall(r"^(\w+) = \[", project.partition("\n[")[0], re.MULTILINE)

    assert set(extras) == {"fast", "dev", "docs", "audit"}
    assert [
        name for name in extras if f"--extra {name} " not in (ROOT / "Makefile").read_text()
    ] == []
