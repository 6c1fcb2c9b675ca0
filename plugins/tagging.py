"""``set`` and ``unset``: write and remove user data of the session."""

from typing import Any

from pydantic import RootModel, field_validator

from imbot.plugin import Context, Operation, Plugin, action, as_user_data


class Set(RootModel[dict[str, Any]], frozen=True):
    """Arguments of ``set``: user-data keys and their values."""

    @field_validator("root")
    @classmethod
    def _has_keys(cls, given: dict[str, Any]) -> dict[str, Any]:
        if not given or not all(given):
            raise ValueError("name at least one key")
        return given


class Unset(RootModel[list[str]], frozen=True, json_schema_extra={"minItems": 1}):
    """Arguments of ``unset``: the user-data keys to remove."""

    @field_validator("root")
    @classmethod
    def _has_keys(cls, given: list[str]) -> list[str]:
        if not given or not all(given):
            raise ValueError("name at least one key")
        return given


@action("set", args=Set, repeatable=True, needs=Operation.UPDATE_USER_DATA)
async def set_user_data(ctx: Context, args: Set) -> None:
    """Write user data; what is so already is not sent."""
    await ctx.im.update_user_data(as_user_data(args.root))


@action("unset", args=Unset, repeatable=True, needs=Operation.DELETE_USER_DATA)
async def unset_user_data(ctx: Context, args: Unset) -> None:
    """Remove keys of the user data; what is absent is not asked for."""
    for key in args.root:
        await ctx.im.delete_user_data(key)


plugin = Plugin("tagging", actions=(set_user_data, unset_user_data))
