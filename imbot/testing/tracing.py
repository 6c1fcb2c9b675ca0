"""What happened in a session, as a file of tests that passes: events and effects in YAML."""

import re
from collections.abc import Iterator, Mapping, Sequence

from imbot.durations import format_duration
from imbot.jsontext import decode_json
from imbot.model import JSON, Participant
from imbot.records import Effect as Kept
from imbot.testing.event_reading import participant_of
from imbot.testing.playing import Effect
from imbot.testing.script import (
    AGENT,
    NICKNAME,
    Answered,
    Connected,
    Posted,
    RuleTest,
    Said,
    Shown,
    Timed,
)
from imbot.testing.script_reading import search_of
from imbot.yamlfile import dump

#: What stands before a file: editors check it by its schema.
HEADER = "# What happened, as a test: imbot test FILE\n"


def file_of(
    test: RuleTest,
    effects: Sequence[Effect],
    *,
    rules: Sequence[str],
    nickname: str,
    secrets: Mapping[str, str],
) -> str:
    """Return a test file: what happens in the test, and that these effects come of it.

    Args:
        test: What happens.
        effects: What the bot does; what it tries in vain need not be expected.
        rules: Rule files, relative to the test file.
        nickname: ``bot.nickname``.
        secrets: Stand-ins of secrets; only those that show in an effect are written.
    """
    body = {
        "name": test.name,
        "start": test.start.isoformat(),
        "events": list(_events(test.events)),
        "expect": [_expectation(effect) for effect in effects if not effect.failure],
    }
    shown = {name: text for name, text in secrets.items() if text in dump(body)}
    head: dict[str, JSON] = {"rules": list(rules)}
    if nickname != NICKNAME:
        head["bot"] = {"nickname": nickname}
    if shown:
        head["secrets"] = shown
    return HEADER + dump({**head, "tests": [body]})


def answers_of(effects: Sequence[Kept]) -> tuple[Answered, ...]:
    """Return what HTTP requests were answered, in order, as the ledger has it."""
    return tuple(
        Answered(
            effect.intent.operation.partition(" ")[2],
            effect.result["status"],
            effect.result.get("text", "").encode(),
            times=1,
        )
        for effect in effects
        if isinstance(effect.result, Mapping) and "status" in effect.result
    )


def _events(events: Sequence[Timed]) -> Iterator[JSON]:
    states: dict[tuple[str, str], str | None] = {}
    for timed in events:
        at = {"at": format_duration(timed.at_ms / 1000)}
        match timed.what:
            case Shown() as shown:
                key = shown.agent, shown.session
                yield {**at, **_shown(shown, is_same=states.get(key) == shown.state)}
                states[key] = shown.state
            case Said(shown=shown, text=text):
                yield {**at, "session": shown.session, "message": text, **_agent(shown.agent)}
            case Connected() as connected:
                yield {**at, **_connection(connected)}
                states.update(
                    ((each.agent, each.session), each.state) for each in connected.snapshot
                )
            case Posted(name=name, body=body):
                yield {**at, "webhook": {"name": name, "body": body}}
            case Answered() as answered if answered.match:
                yield {**at, "http": _answer(answered)}
            case _:
                pass


def _shown(shown: Shown, *, is_same: bool) -> dict[str, JSON]:
    """Return a session as an event shows it; of the same state only what was written."""
    if is_same and shown.user_data:
        data = dict(shown.user_data)
        return {"session": shown.session, "userdata": data, **_agent(shown.agent)}
    return {**_session(shown), **_agent(shown.agent)}


def _session(shown: Shown) -> dict[str, JSON]:
    told: dict[str, JSON] = {"session": shown.session, "state": shown.state}
    if shown.participant is not None:
        told["participant"] = _participant(shown.participant)
    if shown.user_data:
        told["userData"] = dict(shown.user_data)
    if shown.capabilities is not None:
        told["capabilities"] = list(shown.capabilities)
    return told


def _participant(party: Participant) -> JSON:
    if party == participant_of(party.phoneNumber):
        return party.phoneNumber
    return {name: text for name, text in party.facts().items() if text}


def _agent(agent: str) -> dict[str, JSON]:
    return {} if agent in ("", AGENT) else {"agent": agent}


def _connection(connected: Connected) -> dict[str, JSON]:
    told: dict[str, JSON] = {"connection": connected.change.value, **_agent(connected.agent)}
    if connected.reason:
        told["reason"] = connected.reason
    if connected.snapshot:
        told["snapshot"] = [_session(each) for each in connected.snapshot]
    return told


def _answer(answered: Answered) -> dict[str, JSON]:
    told: dict[str, JSON] = {"match": answered.match, "status": answered.status}
    try:
        told["json"] = decode_json(answered.body)
    except ValueError:
        told["text"] = answered.body.decode("utf-8", "replace")
    return told if answered.times is None else {**told, "times": answered.times}


def _expectation(effect: Effect) -> JSON:
    at = format_duration(effect.at_ms / 1000)
    session = {"session": effect.session} if effect.session else {}
    return {"at": at, **session, **_agent(effect.agent), effect.action: _literal(effect.args)}


def _literal(value: JSON) -> JSON:
    """Return arguments as an expectation takes them literally: no text is read as a search."""
    if isinstance(value, str) and search_of(value) is not None:
        return f"/^{re.escape(value)}$/"
    if isinstance(value, Mapping):
        return {name: _literal(item) for name, item in value.items() if item is not None}
    return [_literal(item) for item in value] if isinstance(value, list | tuple) else value
