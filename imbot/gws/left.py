"""What an agent's last process left of its subscription, and whether one can go on with it. Pure.

Where GWS acknowledges, going on loses nothing; elsewhere, and where GWS has forgotten, it tells
from when on messages may be lost. Source: contract 9.2; reliability 3.4, rule 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imbot.bayeux.session import BayeuxResume, Channel
from imbot.model import GoodPoll, Subscription
from imbot.records import AckSeen

#: Why messages may be lost that came up between two processes.
AWAY = "imbot was not running"


class Left(NamedTuple):
    """What the last process left.

    Attributes:
        subscription: What it held.
        good: From when on messages may be lost if nobody goes on.
        resume: What to go on with; None when the store does not tell up to where all was kept.
    """

    subscription: Subscription
    good: GoodPoll
    resume: BayeuxResume | None


def left_of(
    subscription: Subscription | None,
    seen: AckSeen | None,
    *,
    url: str,
    channels: Sequence[Channel],
) -> Left | None:
    """Return what the last process left; None if it left nothing that this one can use.

    Args:
        subscription: What the store has of it.
        seen: What was last acknowledged.
        url: The GWS that the agent belongs to now.
        channels: What an agent listens to.
    """
    if subscription is None or seen is None or seen.good is None or subscription.url != url:
        return None
    is_of_it = seen.client_id == subscription.client_id
    is_numbered = isinstance(seen.ack, int) or not subscription.acknowledges
    if not is_of_it or not is_numbered:
        return Left(subscription, seen.good, None)
    resume = BayeuxResume(
        subscription.client_id,
        seen.ack if subscription.acknowledges else None,
        seen.good,
        pending=tuple(one for one in channels if one.name in subscription.pending),
        gap_cause=subscription.gap_cause or ("" if subscription.acknowledges else AWAY),
    )
    return Left(subscription, seen.good, resume)
