"""A context for the tests of plugins: facts to set, and doors that write down what they were asked.

::

    fake = FakeContext(options=Options(url="https://crm.example"), answers=[answer({"id": "7"})])

    result = await fake.run(lookup, {"number": "3002"})

    assert result["found"]
    assert fake.asked[0] == Asked("GET", {"url": "https://crm.example/contacts?number=3002"})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from imbot.jsontext import encode_json
from imbot.plugin import JSON, Action, ActionError, Context, HttpAnswer, PermanentError


class Asked(NamedTuple):
    """One thing that a plugin asked of a door.

    Attributes:
        what: The name of the door's method, ``send_message`` for example, or the HTTP method.
        given: The arguments that were given, by name; those left out are not in it.
    """

    what: str
    given: Mapping[str, Any]


def answer(
    json: JSON = None, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """Return an HTTP answer with a JSON body; without a body for None."""
    text = "" if json is None else encode_json(json).decode()
    return HttpAnswer(status, dict(headers or {}), text, json)


def _talking() -> dict[str, Any]:
    return {
        "id": "session-1",
        "state": "Talking",
        "userData": {},
        "participants": [_other_party()],
        "mine": False,
    }


def _other_party() -> dict[str, Any]:
    return {
        "phoneNumber": "3002",
        "digits": "3002",
        "e164Number": "",
        "formattedPhoneNumber": "3002",
    }


def _our_agent() -> dict[str, Any]:
    return {"user": "bot1", "name": "Robin", "number": "1001", "place": "place1"}


def _our_names() -> dict[str, Any]:
    return {"nickname": "Robin", "instance": "imbot"}


def _edge_to_talking() -> dict[str, Any]:
    return {"kind": "state", "previous": "Alerting", "resync": False}


@dataclass(slots=True)
class FakeContext:
    """What an action is given in a test; a Talking session unless told otherwise.

    The doors do to ``session`` what the real ones would: user data is written into it, ``complete``
    completes it.

    Attributes:
        options: The plugin's options.
        answers: What HTTP requests come back with, in order; an error is raised.
        failures: Errors that methods of ``ctx.im`` raise, by the method's name.
        asked: What was asked of the doors, in order.
    """

    options: BaseModel | None = None
    answers: list[HttpAnswer | ActionError] = field(default_factory=list)
    failures: dict[str, ActionError] = field(default_factory=dict)
    session: dict[str, Any] | None = field(default_factory=_talking)
    participant: dict[str, Any] | None = field(default_factory=_other_party)
    agent: dict[str, Any] | None = field(default_factory=_our_agent)
    bot: dict[str, Any] = field(default_factory=_our_names)
    event: dict[str, Any] = field(default_factory=_edge_to_talking)
    attempt: int = 1
    message_limit_bytes: int = 1000
    reason_key: str = "imbot.reason"
    asked: list[Asked] = field(default_factory=list)

    @property
    def context(self) -> Context:
        """The context that an action is called with."""
        return Context(
            event=self.event,
            session=self.session,
            participant=self.participant,
            agent=self.agent,
            bot=self.bot,
            options=self.options,
            step_key="event-1/rule/0",
            attempt=self.attempt,
            im=_FakeIm(self),
            http=_FakeHttp(self),
            message_limit_bytes=self.message_limit_bytes,
            reason_key=self.reason_key,
        )

    async def run(self, action: Action[Any], args: JSON) -> JSON:
        """Run an action as the engine does; return its result as rules see it.

        Args:
            action: The action.
            args: Its arguments as a rule would write them.

        Raises:
            ValidationError: The arguments, or what it returned, do not fit its models.
            ActionError: The action failed.
        """
        result = await action.run(self.context, action.args.model_validate(args))
        if action.result is not None and not isinstance(result, action.result):
            action.result.model_validate(result)
        return result.model_dump(mode="json") if isinstance(result, BaseModel) else result

    def note(self, what: str, **given: object) -> None:
        """Write down what a door was asked; raise what it is to fail with."""
        kept = {name: value for name, value in given.items() if value is not None}
        self.asked.append(Asked(what, kept))
        if (error := self.failures.get(what)) is not None:
            raise error


@dataclass(frozen=True, slots=True)
class _FakeIm:
    """The operations of the session, on paper."""

    fake: FakeContext

    def _session(self) -> dict[str, Any]:
        if self.fake.session is None:
            raise PermanentError("there is no session to act on")
        return self.fake.session

    async def send_message(self, *texts: str, to: str | None = None) -> None:
        self._session()
        for text in texts:
            self.fake.note("send_message", text=text, to=to)

    async def update_user_data(self, user_data: Mapping[str, Any]) -> None:
        session = self._session()
        self.fake.note("update_user_data", user_data=dict(user_data))
        session["userData"].update(user_data)

    async def delete_user_data(self, key: str) -> None:
        session = self._session()
        self.fake.note("delete_user_data", key=key)
        session["userData"].pop(key, None)

    async def complete(self) -> None:
        session = self._session()
        self.fake.note("complete")
        session["state"] = "Completed"

    async def initiate(
        self, to: str, *, user_data: Mapping[str, Any] | None = None, agent: str | None = None
    ) -> Mapping[str, Any]:
        self.fake.note("initiate", to=to, user_data=user_data, agent=agent)
        own = "bot1" if self.fake.agent is None else self.fake.agent["user"]
        begun = sum(asked.what == "initiate" for asked in self.fake.asked)
        return {"id": f"begun-{begun}", "agent": own if agent in (None, "any") else agent}


@dataclass(frozen=True, slots=True)
class _FakeHttp:
    """HTTP whose answers are written beforehand."""

    fake: FakeContext

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: JSON = None,
        form: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> HttpAnswer:
        self.fake.note(
            method.upper(),
            url=url,
            headers=headers or None,
            json=json,
            form=form,
            idempotency_key=idempotency_key,
            timeout_s=timeout_s,
        )
        if not self.fake.answers:
            raise AssertionError(f"no answer is left for {method.upper()} {url}")
        scripted = self.fake.answers.pop(0)
        if isinstance(scripted, ActionError):
            raise scripted
        return scripted
