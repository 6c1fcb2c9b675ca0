"""``complete``: end the session, and leave the reason in its user data."""

from pydantic import RootModel

from imbot.plugin import Context, Operation, Plugin, action


class Complete(RootModel[str], frozen=True, coerce_numbers_to_str=True):
    """Argument of ``complete``: why the session ends; may be empty."""


@action("complete", args=Complete, repeatable=True, needs=Operation.COMPLETE)
async def complete(ctx: Context, args: Complete) -> None:
    """End the session; the reason is written to user data first, for nobody can write it after."""
    if args.root:
        await ctx.im.update_user_data({ctx.reason_key: args.root})
    await ctx.im.complete()


plugin = Plugin("completion", actions=(complete,))
