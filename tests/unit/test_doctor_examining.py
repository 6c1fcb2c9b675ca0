"""The whole examination: everything is looked at, in order, and nothing is disturbed."""

import json
from dataclasses import replace

import pytest

from imbot.cli.running import system_ports
from imbot.doctor import examining
from imbot.doctor.examining import AT_ONCE, Examination, UnknownAgentError, Wish
from imbot.doctor.findings import OF_AGENTS, WITH_ONE_AGENT, Check, Finding, Grade
from imbot.simulator import AgentAccount, Faults, Simulator, SimulatorSettings
from imbot.store.lock import StoreLock

RULES = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"
HOUSE = [check for check in Check if check not in (*OF_AGENTS, *WITH_ONE_AGENT)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "hi.yaml").write_text(RULES)
    return tmp_path


@pytest.fixture
async def simulator():
    agents = tuple(
        AgentAccount(user=f"bot{n}", password="pw", number=f"100{n}") for n in range(1, 16)
    )
    async with Simulator(SimulatorSettings(agents=agents, poll_timeout_s=0.2)) as simulator:
        yield simulator


def write(home, url, *agents, **more):
    parts = {
        "gws": {"url": url},
        "agents": [{"user": user, "password": "${env:PW}"} for user in agents or ("bot1",)],
        "admin": {"listen": "127.0.0.1:0"},
        **more,
    }
    (home / "imbot.yaml").write_text(json.dumps(parts))


async def examined(home, *, agents=(), options=(), environment=None):
    """Return all results, and what was told of the progress."""
    results, done = [], []
    ports = replace(
        system_ports(), environment={"PW": "pw"} if environment is None else environment
    )
    await Examination(
        Wish(home / "imbot.yaml", options, agents),
        ports,
        limits=None,
        tell=results.append,
        progress=lambda *told: done.append(told),
    ).make()
    return results, done


def grades(results, *, about=""):
    return {result.check: result.finding.grade for result in results if result.about == about}


async def test_a_sound_imbot_is_looked_at_in_every_respect(home, simulator):
    """Whoever starts it tomorrow wants to know today."""
    write(home, simulator.url)
    results, done = await examined(home)

    assert [result.check for result in results if not result.about] == [*HOUSE, *WITH_ONE_AGENT]
    assert [result.check for result in results if result.about == "bot1"] == list(OF_AGENTS)
    assert {result.check for result in results if result.finding.grade is Grade.FAILED} == set()
    assert done == [(1, 1)]


async def test_each_agent_is_looked_at_and_what_holds_for_all_with_one(home, simulator):
    names = [f"bot{n}" for n in range(1, 16)]
    write(home, simulator.url, *names)
    results, done = await examined(home)

    assert len(names) > AT_ONCE
    for name in names:
        assert set(grades(results, about=name).values()) == {Grade.OK}
    assert [result.check for result in results if result.check in WITH_ONE_AGENT] == [
        *WITH_ONE_AGENT
    ]
    assert done[-1] == (15, 15)


async def test_only_the_named_agents_are_looked_at(home, simulator):
    write(home, simulator.url, "bot1", "bot2", "bot3")
    results, _ = await examined(home, agents=["bot2", "bot2"])

    assert {result.about for result in results} == {"", "bot2"}


async def test_an_agent_that_there_is_not_is_wrong_usage(home, simulator):
    write(home, simulator.url)

    with pytest.raises(UnknownAgentError, match="no agent bot9"):
        await examined(home, agents=["bot9"])


async def test_an_agent_that_fails_leaves_the_others_alone(home, simulator):
    simulator.world.faults.replace(Faults(unavailable=True), agent="bot1")
    write(home, simulator.url, "bot1", "bot2")
    results, _ = await examined(home)

    assert grades(results, about="bot1")[Check.LOGIN] is Grade.FAILED
    assert grades(results, about="bot1")[Check.CONNECT] is Grade.SKIPPED
    assert grades(results, about="bot2")[Check.CONNECT] is Grade.OK
    assert grades(results)[Check.HOLD] is Grade.OK


async def test_where_no_agent_gets_in_what_holds_for_all_is_skipped(home, simulator):
    simulator.world.faults.replace(Faults(session_lost=True))
    write(home, simulator.url)
    results, _ = await examined(home)

    assert grades(results)[Check.ACK] is grades(results)[Check.HOLD] is Grade.SKIPPED


async def test_credentials_that_fit_no_header_fail_for_that_agent_alone(home, simulator):
    write(home, simulator.url)
    parts = json.loads((home / "imbot.yaml").read_text())
    parts["agents"].append({"user": "bot2", "auth": {"headers": {"X-User": "${env:BAD}"}}})
    (home / "imbot.yaml").write_text(json.dumps(parts))
    results, _ = await examined(home, environment={"PW": "pw", "BAD": "bö\nt"})

    assert grades(results, about="bot2") == {Check.TOKEN: Grade.FAILED}
    assert grades(results, about="bot1")[Check.CONNECT] is Grade.OK


async def test_agents_of_a_running_imbot_are_left_alone(home, simulator):
    """What GWS does to one of two clients of an agent is not documented."""
    write(home, simulator.url)
    lock = StoreLock(home / "imbot.db")
    try:
        results, _ = await examined(home)
        assert grades(results)[Check.LOGIN] is Grade.SKIPPED
        assert {result.about for result in results} == {""}
        assert len(simulator._logins) == 0

        results, _ = await examined(home, agents=["bot1"])
        assert grades(results, about="bot1")[Check.LOGIN] is Grade.OK
    finally:
        lock.release()


async def test_settings_with_mistakes_leave_the_machine_to_look_at(tmp_path):
    results, _ = await examined(tmp_path)

    assert grades(results)[Check.PYTHON] is Grade.OK
    assert grades(results)[Check.SETTINGS] is Grade.FAILED
    skipped = [result for result in results if result.finding.grade is Grade.SKIPPED]
    assert {result.finding.found for result in skipped} == {"it rests on settings"}
    assert {result.check for result in results} == set(Check)


async def test_a_gws_that_is_away_keeps_nobody_waiting(home, free_port):
    write(home, f"http://127.0.0.1:{free_port}")
    results, _ = await examined(home)

    failed = [result.check for result in results if result.finding.grade is Grade.FAILED]
    assert failed == [Check.PORT]
    assert grades(results)[Check.LOGIN] is Grade.SKIPPED
    assert grades(results)[Check.STORE] is Grade.OK


@pytest.fixture
async def free_port():
    async with Simulator() as simulator:
        return int(simulator.url.rpartition(":")[2])


async def test_a_store_that_is_none_is_a_mistake_in_the_settings(home, simulator):
    write(home, simulator.url, store="postgresql://h/db")
    results, _ = await examined(home)

    assert grades(results)[Check.FOLDER] is Grade.FAILED
    assert grades(results)[Check.ADDRESS] is Grade.OK
    assert grades(results, about="bot1")[Check.LOGIN] is Grade.OK


async def test_plugins_that_cannot_be_looked_at_leave_the_rules(home, simulator, monkeypatch):
    """Rules cannot be checked against actions that nobody knows."""

    async def ill(_loaded):
        raise RuntimeError("oh")

    monkeypatch.setattr(examining.files, "plugins", ill)
    write(home, simulator.url)
    found = grades((await examined(home))[0])

    assert (found[Check.PLUGINS], found[Check.RULES]) == (Grade.FAILED, Grade.SKIPPED)
    assert found[Check.CALENDARS] is Grade.SKIPPED


async def test_certificates_are_looked_for_beside_the_settings(home, simulator):
    write(home, simulator.url, gws={"url": simulator.url, "ca_file": "gone.pem"})
    results, _ = await examined(home)

    assert grades(results)[Check.TLS] is Grade.FAILED


async def test_a_check_that_is_made_without_what_it_needs_fails():
    """It cannot happen; if it does, the doctor says so."""
    with pytest.raises(LookupError):
        examining._there(None)
    with pytest.raises(LookupError):
        await examining._unreachable()
    assert Finding.ok("x") == examining._there(Finding.ok("x"))


async def test_no_secret_is_in_any_result(home, simulator):
    """The doctor's findings are pasted into tickets."""
    write(home, simulator.url, "bot1", "bot2")
    simulator.world.faults.replace(Faults(error_before=True), agent="bot2")
    results, _ = await examined(home, environment={"PW": "canary-7f3a"})

    assert "canary-7f3a" not in repr(results)
    simulator.world.faults.replace(None, agent="bot2")
    results, _ = await examined(home)
    tokens = [login.csrf for login in simulator._logins._by_jsession.values()]
    assert tokens
    assert not any(token in repr(results) for token in tokens)
