"""What GWS does not carry out in a session as it stands: tried, it could only fail. Pure."""

from imbot.model import ImSession, Reason, SessionState
from imbot.plugin import Operation


def why_withheld(
    needs: Operation | None, session: ImSession | None, *, strict: bool
) -> tuple[Reason, str] | None:
    """Return why a step that needs an operation cannot succeed in a session; None when it can.

    Args:
        needs: The operation.
        session: The session as it stands; None without one.
        strict: Whether an operation that GWS does not list is withheld.
    """
    if needs is None or needs is Operation.INITIATE:
        return None
    if session is None:
        return Reason.STATE, f"{needs} needs a session, and there is none"
    if session.is_completed:
        return Reason.STATE, f"{needs} cannot succeed: the session is Completed"
    before_talking = session.state in (SessionState.INITIATING, SessionState.ALERTING)
    if needs is Operation.SEND_MESSAGE and before_talking:
        told = f"{needs} cannot succeed: the session is {session.state}, not Talking"
        return Reason.STATE, told
    listed = session.capabilities
    if strict and listed is not None and needs not in listed:
        told = f"{needs} is not among the capabilities that GWS lists: {', '.join(listed)}"
        return Reason.CAPABILITY, told
    return None
