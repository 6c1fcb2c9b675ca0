"""``initiate``: begin a session with somebody."""

from typing import Any

from pydantic import Field

from imbot.plugin import Context, Model, Operation, Plugin, action, as_user_data


class Initiate(Model):
    """Arguments of ``initiate``."""

    to: str = Field(min_length=1)
    """The number to reach."""

    userData: dict[str, Any] = Field(default_factory=dict)  # noqa: N815  as rule authors write it
    """User data that the session has from the start."""

    agent: str | None = None
    """The agent that begins it: a user name, or ``any``; by default the run's own."""


class Begun(Model):
    """Result of ``initiate``."""

    id: str
    """The new session's id."""

    agent: str
    """The agent that began it."""


@action("initiate", args=Initiate, result=Begun, needs=Operation.INITIATE, deadline_s=30.0)
async def initiate(ctx: Context, args: Initiate) -> Begun:
    """Begin a session; later steps of the run act on it once it is Talking."""
    user_data = as_user_data(args.userData)
    begun = await ctx.im.initiate(args.to, user_data=user_data, agent=args.agent)
    return Begun(id=begun["id"], agent=begun["agent"])


plugin = Plugin("initiate", actions=(initiate,))
