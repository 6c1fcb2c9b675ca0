"""``reply``: say something to the other party of the session."""

from pydantic import model_validator

from imbot.plugin import JSON, Context, Model, Operation, PermanentError, Plugin, action


class Reply(Model):
    """Arguments of ``reply``; a plain text stands for ``{text: …}``."""

    text: str
    """What the other party will read."""

    to: str | None = None
    """The number to send to; by default the other party's."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: JSON) -> JSON:
        return given if isinstance(given, dict) else {"text": given}


def pieces(text: str, limit_bytes: int) -> list[str]:
    """Return the text in pieces of at most so many UTF-8 bytes, cut at white space where possible.

    SIP carries short messages only; a longer one may be lost on the way. Source: RFC 3428.
    """
    rest = text.strip()
    found = []
    while len(rest.encode()) > limit_bytes:
        head = rest.encode()[:limit_bytes].decode(errors="ignore")
        cut = len(head) if rest[len(head)].isspace() else _last_space(head)
        head = head[:cut] if cut > len(head) // 2 else head
        found.append(head.rstrip())
        rest = rest[len(head) :].lstrip()
    return [*found, rest]


def _last_space(text: str) -> int:
    """Return where the white space begins before which the last word of a text ends; -1 if none."""
    return max(text.rfind("\n"), text.rfind(" "))


@action("reply", args=Reply, needs=Operation.SEND_MESSAGE)
async def reply(ctx: Context, args: Reply) -> None:
    """Say a text to the other party; a long one in several messages."""
    if not args.text.strip():
        raise PermanentError("reply: the text is empty")
    await ctx.im.send_message(*pieces(args.text, ctx.message_limit_bytes), to=args.to)


plugin = Plugin("reply", actions=(reply,))
