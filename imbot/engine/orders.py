"""What people may order about a parked effect. Pure."""

from imbot.plugin import Operation
from imbot.records import Intent

#: What acts on a session that must still be there.
_IN_SESSION = frozenset(each.value for each in Operation if each is not Operation.INITIATE)


def why_not_resent(intent: Intent, *, is_over: bool) -> str:
    """Return why an effect cannot be sent again; empty when it can.

    Args:
        intent: What was intended.
        is_over: Whether its session is over.
    """
    if "://" in intent.operation:
        told = "of its request only a part is kept, for the rest may be secret"
        return f"{told}; repeat it by hand, then drop it here"
    if intent.operation not in {each.value for each in Operation}:
        return f"nobody knows how to repeat {intent.operation}; drop it"
    if is_over and intent.operation in _IN_SESSION:
        return f"session {intent.session_id} of {intent.agent} is over; drop it"
    return ""
