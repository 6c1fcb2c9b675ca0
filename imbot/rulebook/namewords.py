"""What each name means that conditions and templates may look at, by its path.

Their types stand in ``imbot.rulebook.scope``, which says who sees which.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: Path → what it is.
NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "session": "The IM session as it stands, our own writes included; missing where none is.",
        "session.id": "Its id in GWS.",
        "session.state": "Where it stands: Initiating, Alerting, Talking or Completed.",
        "session.userData": "Its attached data, by key; every value is text, or a map of texts.",
        "session.participants": "The other parties; none may be known while it is Initiating.",
        "session.capabilities": "The operations that GWS lists; missing where it sent no list.",
        "session.started_at": "When imbot first saw it.",
        "session.mine": "Whether our own `initiate` began it.",
        "participant": "The other party: the first of `session.participants`.",
        "participant.phoneNumber": "The number to send to.",
        "participant.digits": "The number's digits alone.",
        "participant.e164Number": "The number with `+` and country code, where GWS knows it.",
        "participant.formattedPhoneNumber": "The number as GWS would show it.",
        "event": "What started the rule.",
        "event.kind": "The kind of trigger that it is for.",
        "event.at": "When it happened.",
        "event.age": "Seconds since it was received, or since it may have been missed.",
        "event.resync": "Whether it was found out by looking, after a time without news.",
        "event.previous": "The state before; missing where the session was not known.",
        "event.changed": "The keys that changed, each with `old` and `new`, or one of the two.",
        "event.idle": "Seconds since the silence began.",
        "event.calendar": "The calendar's name.",
        "event.edge": "What it does: opens or closes.",
        "event.scheduled_at": "The moment that was due; `event.at` is when it was carried out.",
        "event.change": "What became of the connection: lost, restored or gap.",
        "event.reason": "Why, for people.",
        "event.seconds": "For how long messages may have been lost; 0 where it is only lost.",
        "event.name": "The hook's name.",
        "event.body": "What was posted, as decoded JSON.",
        "message": "What the other party said.",
        "message.text": "The words.",
        "message.at": "When it was said.",
        "agent": "Our agent, for whom the session is held.",
        "agent.user": "Its user name.",
        "agent.name": "Its name for people, where GWS told it.",
        "agent.number": "The number of its device.",
        "agent.place": "Where it is logged in.",
        "bot": "Who the bot is.",
        "bot.nickname": "What it calls itself; from the settings.",
        "bot.instance": "Which of several imbots this is; from the settings.",
        "vars": "The constants of the file and of the rule; the rule's hide the file's.",
        "error": "In `on_error`: how the step failed.",
        "error.kind": "Temporary, ambiguous or permanent.",
        "error.message": "What happened, for people.",
        "error.step": "Where the step stands in the rule, such as `do/0`.",
    }
)
