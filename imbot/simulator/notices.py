"""What agents are told over CometD, with the faults that make it look or come wrong."""

from collections.abc import Callable, Mapping

from imbot.clock import Clock
from imbot.jsontext import encode_json
from imbot.simulator import shapes
from imbot.simulator.agents import Agent
from imbot.simulator.conversation import ImSession, Side
from imbot.simulator.faults import FaultBox, FaultKind

#: Takes a user, a channel and the Bayeux message, which holds its channel already.
Deliver = Callable[[str, str, Mapping[str, object]], None]
Later = Callable[[float, Callable[[], None]], object]


class Notices:
    """Makes notifications and gives them to ``deliver``.

    Attributes:
        deliver: Where they go; the Bayeux half sets it, until then they are lost as in GWS.
    """

    def __init__(self, faults: FaultBox, *, clock: Clock, later: Later, uri_base: str) -> None:
        self.deliver: Deliver = lambda _user, _channel, _message: None
        self._faults = faults
        self._clock = clock
        self._later = later
        self._uri_base = uri_base

    def devices(self, agent: Agent) -> list[shapes.JsonObject]:
        """Return the agent's devices as GWS shows them."""
        several = self._faults.of(agent.user).several_devices
        return shapes.devices(agent, self._uri_base, several=several)

    def session(self, session: ImSession, agent: Agent) -> shapes.JsonObject:
        """Return the IM session resource as this agent sees it: the other party only [I]."""
        side = session.side_of(agent)
        seen = session.seen_state(side)
        space = " " if self._faults.strikes(FaultKind.STATE_SPACE, agent.user) else ""
        accept = session.accept if side is session.callee else ""
        resource: shapes.JsonObject = {
            "state": f"{space}{seen.value}",
            "id": session.id,
            "uri": f"{self._uri_base}/api/v2/im-sessions/{session.uri_id}",
            "path": session.path,
            "participants": [shapes.participant(session.other(side).number)],
            "capabilities": shapes.capabilities(seen, accept),
        }
        if session.user_data:
            resource["userData"] = dict(session.user_data)
        return resource

    def device_changed(self, agent: Agent) -> None:
        """Tell the agent how its devices stand."""
        self._send(agent, shapes.DEVICES_CHANNEL, shapes.device_change(self.devices(agent)))

    def session_changed(
        self, agent: Agent, session: ImSession, notification_type: str = "StatusChange"
    ) -> None:
        """Tell the agent how its IM session stands."""
        change = shapes.state_change(notification_type, self.session(session, agent))
        self._send(agent, shapes.IM_CHANNEL, change)

    def refused(self, agent: Agent) -> None:
        """Send the text-less ErrorMessage that accompanies a refusal [O]."""
        self._send(agent, shapes.DEVICES_CHANNEL, shapes.textless_error(agent, self._uri_base))

    def said(self, agent: Agent, session: ImSession, text: str) -> None:
        """Tell the agent what the other side said."""
        speaker = session.other(session.side_of(agent))
        self._send(agent, shapes.IM_CHANNEL, self._message(agent, session, speaker, text))

    def echo(self, agent: Agent, session: ImSession, text: str) -> None:
        """Tell the agent what itself said: no copy, a late one, or one too many under a fault."""
        if self._faults.strikes(FaultKind.NO_ECHO, agent.user):
            return
        content = self._message(agent, session, session.side_of(agent), text)

        def send() -> None:
            self._send(agent, shapes.IM_CHANNEL, content)

        if self._faults.strikes(FaultKind.DUPLICATE_ECHO, agent.user):
            send()
        if self._faults.strikes(FaultKind.LATE_ECHO, agent.user):
            self._later(self._faults.of(agent.user).late_echo_s, send)
        else:
            send()

    def wrapped(
        self, agent: Agent, channel: str, content: shapes.JsonObject
    ) -> Mapping[str, object]:
        """Return the Bayeux message around a notification."""
        epoch_ms = int(self._clock.now().timestamp() * 1000)
        content = {**content, "metrics": shapes.metrics(epoch_ms)}
        if self._faults.strikes(FaultKind.NO_ENVELOPE, agent.user):
            return {**content, "channel": channel}
        if self._faults.strikes(FaultKind.DATA_TEXT, agent.user):
            return {"data": encode_json(content).decode(), "channel": channel}
        return {"data": content, "channel": channel}

    def standing(self, agent: Agent, session: ImSession | None) -> Mapping[str, object]:
        """Return a message that tells how the agent stands: its IM session, else its devices."""
        if session is None:
            change = shapes.device_change(self.devices(agent))
            return self.wrapped(agent, shapes.DEVICES_CHANNEL, change)
        change = shapes.state_change("StatusChange", self.session(session, agent))
        return self.wrapped(agent, shapes.IM_CHANNEL, change)

    def _message(
        self, hearer: Agent, session: ImSession, speaker: Side, text: str
    ) -> shapes.JsonObject:
        message: object = text
        if self._faults.strikes(FaultKind.MESSAGE_OBJECT, hearer.user):
            message = {"text": text, "from": speaker.number}
        return shapes.new_message(session.path, message)

    def _send(self, agent: Agent, channel: str, content: shapes.JsonObject) -> None:
        self.deliver(agent.user, channel, self.wrapped(agent, channel, content))
