"""An editor with yaml-language-server and the schemas that ship: mistakes told, words offered."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schema"

RULE = f"""# yaml-language-server: $schema={SCHEMAS / "rules.json"}
version: 1
rules:
  - id: greet
    trigger: {{state: Talking}}
"""


async def test_a_shipped_file_has_no_mistake(editor):
    """Nobody trusts a tool that complains about the examples."""
    files = [*ROOT.glob("rules/*.yaml"), *ROOT.glob("examples/*/*.yaml")]
    files += ROOT.glob("examples/*/rules/*.yaml")

    found = {path: await editor.diagnose(path, path.read_text()) for path in files}

    assert len(found) > 10
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ("    onec: session\n    do: [{reply: x}]\n", 6, "Property onec is not allowed."),
        ("    do:\n      - repyl: Hello\n", 7, "Property repyl is not allowed."),
        ("    max_age: 30\n    do: [{reply: x}]\n", 6, 'Incorrect type. Expected "string".'),
        ("    max_age: 30 s\n    do: []\n", 6, "Write a number and ms, s, m, h or d, such as"),
        ("    mode: paralel\n    do: []\n", 6, 'Valid values: "single", "queue", "restart"'),
        ("    do:\n      - reply: {txt: Hello}\n", 7, "Property txt is not allowed."),
        ("    do:\n      - {reply: a, log: b}\n", 7, "Matches multiple schemas when only one"),
        ("    do:\n      - let: {a: b}\n        as: c\n", 8, "Property as is not allowed."),
        ("    do:\n      - http: {gte: x}\n", 7, "Property gte is not allowed."),
        ("    do:\n      - wait: soon\n", 7, "Write a number and ms, s, m, h or d"),
        ("    budget: {per_sesion: 3}\n    do: []\n", 6, "Property per_sesion is not allowed."),
        ("    do:\n      - initiate: {too: '3002'}\n", 7, "Property too is not allowed."),
        ("    throttle: 30s\n    do: []\n", 6, 'Incorrect type. Expected "object'),
    ],
)
async def test_a_mistake_is_told_on_its_line(editor, tmp_path, body, line, told):
    """Misspelt keys, unknown steps, wrong kinds, bad words."""
    found = await editor.diagnose(tmp_path / "rules.yaml", RULE + body)

    assert [at for at, said in found if told in said] == [line], found


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("    do:\n      - re^\n", ["reply", "set", "if", "wait_for", "crm.lookup"]),
        ("    ^\n", ["when", "once", "do", "throttle"]),
        ("    mode: ^\n    do: []\n", ["single", "queue", "restart", "parallel"]),
        ("    when: ^\n    do: []\n", ["closed(calendar)", "said(text)"]),
        ("    do:\n      - http:\n          ^\n", ["post", "idempotency_key"]),
        ("    do:\n      - wait_for:\n          state: ^\n", ["Talking", "Completed"]),
        ("    do:\n      - initiate:\n          ^\n", ["to", "userData", "agent"]),
        ("    do:\n      - crm.lookup:\n          ^\n", ["number", "fields"]),
        ("  - id: b\n    trigger:\n      ^\n", ["state", "message", "idle", "schedule", "webhook"]),
        ("  - id: b\n    trigger:\n      connection: ^\n", ["lost", "restored", "gap"]),
    ],
)
async def test_words_are_completed(editor, tmp_path, typed, offered):
    """The author need not know them by heart."""
    found = await editor.complete(tmp_path / "rules.yaml", RULE + typed)

    assert set(offered) <= found.keys()


async def test_a_key_says_what_it_means(editor, tmp_path):
    """Where the mouse rests."""
    text = RULE + "    on^ce: session\n    do: [{reply: x}]\n"

    assert "Acts once within a session" in await editor.hover(tmp_path / "rules.yaml", text)


async def test_settings_and_tests_are_looked_at_too(editor, tmp_path):
    """Each by its own schema."""
    settings = f"# yaml-language-server: $schema={SCHEMAS / 'settings.json'}\ngws: {{ur: x}}\n"
    tests = f"# yaml-language-server: $schema={SCHEMAS / 'test.json'}\ntests:\n  - nam: x\n"

    of_settings = await editor.diagnose(tmp_path / "imbot.yaml", settings)
    of_tests = await editor.diagnose(tmp_path / "a.test.yaml", tests)

    events = (
        f"{tests.replace('nam: x', 'name: x')}    events:\n      - {{at: 0s, restart: crash}}\n"
    )
    of_events = await editor.diagnose(tmp_path / "b.test.yaml", events)
    offered = await editor.complete(
        tmp_path / "c.test.yaml", f"{events}      - at: 1s\n        ^\n"
    )

    assert any(at == 5 and '"kill", "stop"' in said for at, said in of_events), of_events
    assert {"session", "busy", "webhook", "own"} <= offered.keys()
    assert (2, "Property ur is not allowed.") in of_settings
    assert (3, "Property nam is not allowed.") in of_tests
