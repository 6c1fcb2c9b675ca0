"""The operations of a REST body on the world, with what GWS refuses about them.

Pure: a body in, a reply body out or a :class:`RefusedError`. Contract 1.2 to 1.9, 3.7 and 6.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from imbot.simulator import shapes
from imbot.simulator.agents import Agent, UserState
from imbot.simulator.conversation import ImSession, RefusedError
from imbot.simulator.faults import FaultKind
from imbot.simulator.world import World

Body = Mapping[str, object]

#: Channels that StartContactCenterSession takes; IM rides on voice, it has no literal [D SCCS, I].
_CHANNELS = frozenset({"voice", "chat", "email", "workitem", "sms", "facebook", "twitter"})

_SessionOperation = Callable[[World, Agent, ImSession, Body], None]


def name_of(body: Body) -> str:
    """Return the ``operationName``; empty when there is none or it is no text."""
    name = body.get("operationName")
    return name if isinstance(name, str) else ""


def on_collection(world: World, agent: Agent, body: Body) -> shapes.JsonObject:
    """Carry out an operation on ``/me/im-sessions``: InitiateIMSession.

    Raises:
        RefusedError: GWS refuses it.
    """
    if name_of(body) != "InitiateIMSession":
        raise _unknown(body)
    number = _destination(body)
    _check_device(world, agent, body)
    user_data = _user_data(world, body) if "userData" in body else {}
    world.initiate(agent, number, user_data)
    return shapes.ok()


def on_session(world: World, agent: Agent, session_id: str, body: Body) -> shapes.JsonObject:
    """Carry out an operation on ``/me/im-sessions/{id}``.

    Raises:
        RefusedError: GWS refuses it.
    """
    session = own_session(world, agent, session_id)
    operation = _SESSION_OPERATIONS.get(name_of(body))
    if operation is None and session.accept and name_of(body) == session.accept:
        operation = _answer
    if operation is None:
        raise _unknown(body)
    operation(world, agent, session, body)
    return shapes.ok()


def on_user(world: World, agent: Agent, body: Body) -> shapes.JsonObject:
    """Carry out an operation on ``/me``: the contact-center session and the agent's state.

    Raises:
        RefusedError: GWS refuses it.
    """
    match name_of(body):
        case "StartContactCenterSession":
            return _start(world, agent, body)
        case "EndContactCenterSession":
            world.set_user_state(agent, UserState.LOGGED_OUT)
            return shapes.ok()
        case _:
            return on_voice(world, agent, body)


def on_voice(world: World, agent: Agent, body: Body) -> shapes.JsonObject:
    """Set the agent's state on its voice channel: Ready or NotReady [O].

    Raises:
        RefusedError: GWS refuses it.
    """
    states = {"Ready": UserState.READY, "NotReady": UserState.NOT_READY}
    if (state := states.get(name_of(body))) is None:
        raise _unknown(body)
    if not agent.logged_in:
        raise RefusedError(4, f"Device '{agent.number}' is not registered.", with_notice=True)
    world.set_user_state(agent, state)
    return shapes.ok()


def own_session(world: World, agent: Agent, session_id: str) -> ImSession:
    """Return this agent's live session by id.

    Raises:
        RefusedError: It has none of this id, 6.
    """
    live = world.live_session(agent)
    if live is None or session_id not in {live.id, live.path_id}:
        raise RefusedError(6, "Resource not found")
    return live


def _start(world: World, agent: Agent, body: Body) -> shapes.JsonObject:
    channels = _channels(world, body)
    failure = f"Device '{agent.number}' is not registered."
    faults = world.faults
    if faults.strikes(FaultKind.LOGIN_FAILED, agent.user):
        raise RefusedError(4, failure, with_notice=True)
    # Anything but voice is reported as one channel "multimedia" [O].
    reported = {"voice" if channel == "voice" else "multimedia" for channel in channels}
    partial = faults.strikes(FaultKind.LOGIN_PARTIAL, agent.user)
    failed = reported & ({faults.of(agent.user).partial_channel} if partial else set())
    if failed == reported:
        raise RefusedError(4, failure, with_notice=True)
    if "voice" in reported - failed:
        world.set_user_state(agent, UserState.LOGGED_IN)
        world.set_user_state(agent, UserState.NOT_READY)
    if not failed:
        return shapes.ok()
    return {
        "statusCode": 7,
        "failed": [{**shapes.error(4, failure), "channel": one} for one in failed],
        "succeeded": [shapes.ok(channel=one) for one in sorted(reported - failed)],
    }


def _channels(world: World, body: Body) -> list[str]:
    channels = body.get("channels")
    if channels is None:
        raise _missing("channels")
    if not isinstance(channels, list) or not channels:
        raise _invalid("channels must be a list of channel names")
    unknown = [one for one in channels if one not in _CHANNELS]
    if unknown and world.settings.strict:
        raise _invalid(f"unknown channel {unknown[0]!r}")
    return [str(one) for one in channels]


def _send_message(world: World, agent: Agent, session: ImSession, body: Body) -> None:
    text = body.get("text")
    if text is None or text == "":
        raise _missing("text")
    if not isinstance(text, str):
        raise _invalid("text must be a string")
    if world.settings.strict:
        # The page marks both as mandatory [D IM-Send].
        number = _destination(body)
        if number != session.other(session.side_of(agent)).number:
            raise _invalid(f"destination {number} takes no part in this session")
        if "devicePath" not in body:
            raise _missing("devicePath")
        _check_device(world, agent, body)
    world.send(agent, session, text)


def _set_user_data(world: World, agent: Agent, session: ImSession, body: Body) -> None:
    world.set_user_data(session.id, _user_data(world, body), by=agent.user)


def _delete_user_data(world: World, agent: Agent, session: ImSession, body: Body) -> None:
    key = body.get("key")
    if key is None or key == "":
        raise _missing("key")
    if not isinstance(key, str):
        raise _invalid("key must be a string")
    world.delete_user_data(session.id, key, by=agent.user)


def _complete(world: World, _agent: Agent, session: ImSession, _body: Body) -> None:
    world.complete(session.id)


def _answer(world: World, agent: Agent, session: ImSession, _body: Body) -> None:
    if session.callee.agent is not agent:
        raise RefusedError(2, "Invalid state")
    world.answer(session)


_SESSION_OPERATIONS: Mapping[str, _SessionOperation] = MappingProxyType(
    {
        "SendMessage": _send_message,
        "AttachUserData": _set_user_data,
        "UpdateUserData": _set_user_data,
        "DeleteUserData": _delete_user_data,
        "Complete": _complete,
    }
)


def _destination(body: Body) -> str:
    destination = body.get("destination")
    if destination is None:
        raise _missing("destination")
    number = destination.get("phoneNumber") if isinstance(destination, dict) else None
    if not isinstance(number, str) or not number:
        raise _invalid('destination must be {"phoneNumber": "..."}')
    return number


def _check_device(world: World, agent: Agent, body: Body) -> None:
    """Refuse an unknown ``devicePath``, and its absence where several devices are capable."""
    paths = [f"/devices/{device['id']}" for device in world.notices.devices(agent)]
    path = body.get("devicePath")
    if path is None and len(paths) > 1:
        raise RefusedError(1, "devicePath is required: several devices are capable")
    if path is not None and path not in paths:
        raise _invalid(f"devicePath {path!r} is none of the agent's devices")


def _user_data(world: World, body: Body) -> Mapping[str, object]:
    user_data = body.get("userData")
    if user_data is None:
        raise _missing("userData")
    if not isinstance(user_data, dict):
        raise _invalid("userData must be an object")
    if world.settings.strict:
        _check_values(user_data)
    return user_data


def _check_values(user_data: Mapping[str, object]) -> None:
    """Refuse what T-Library's lists cannot hold: they take text, integers and lists of pairs."""
    for key, value in user_data.items():
        if isinstance(value, dict):
            _check_values(value)
        elif isinstance(value, bool) or not isinstance(value, str | int):
            raise _invalid(f"userData '{key}' must be text, an integer or an object")


def _unknown(body: Body) -> RefusedError:
    if "operationName" not in body:
        return _missing("operationName")
    return _invalid(f"invalid operation {body['operationName']!r}")


def _missing(name: str) -> RefusedError:
    return RefusedError(1, f"Required parameter '{name}' is missing")


def _invalid(why: str) -> RefusedError:
    return RefusedError(10, f"Input validation failed: {why}")
