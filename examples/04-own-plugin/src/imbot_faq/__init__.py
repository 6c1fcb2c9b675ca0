"""``faq.answer``: answers what is asked often, from a table in the settings."""

from pydantic import Field

from imbot.plugin import Context, Model, Operation, Plugin, PluginError, action


class Options(Model):
    """Settings under ``plugins.options.faq``."""

    answers: dict[str, str] = Field(min_length=1)
    """What to say, by a word of the question."""


class Question(Model):
    """Arguments of ``faq.answer``."""

    text: str
    """What the other party asked."""


class Answered(Model):
    """Result of ``faq.answer``."""

    found: bool
    """Whether the question named a topic."""

    topic: str = ""
    """The topic."""


@action("faq.answer", args=Question, result=Answered, needs=Operation.SEND_MESSAGE)
async def answer(ctx: Context, args: Question) -> Answered:
    """Say the answer to the first topic that the question names; note the topic in user data."""
    asked = args.text.casefold()
    for topic, text in ctx.options.answers.items():
        if topic.casefold() in asked:
            await ctx.im.send_message(text)
            await ctx.im.update_user_data({"faq": topic})
            return Answered(found=True, topic=topic)
    return Answered(found=False)


async def self_check(options: Options) -> None:
    """Refuse a topic without an answer."""
    empty = [topic for topic, text in options.answers.items() if not text.strip()]
    if empty:
        raise PluginError(f"no answer to: {', '.join(empty)}")


plugin = Plugin("faq", actions=(answer,), options=Options, self_check=self_check)
