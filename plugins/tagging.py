"""``set`` and ``unset``: write and remove user data of the session."""

from datetime import datetime
from typing import Any

from pydantic import RootModel, field_validator

from imbot.plugin import JSON, Context, Operation, PermanentError, Plugin, action


class Set(RootModel[dict[str, Any]], frozen=True):
    """Arguments of ``set``: user-data keys and their values."""

    @field_validator("root")
    @classmethod
    def _has_keys(cls, given: dict[str, Any]) -> dict[str, Any]:
        if not given:
            raise ValueError("name at least one key")
        return given


class Unset(RootModel[list[str]], frozen=True):
    """Arguments of ``unset``: the user-data keys to remove."""

    @field_validator("root")
    @classmethod
    def _has_keys(cls, given: list[str]) -> list[str]:
        if not given or not all(given):
            raise ValueError("name at least one key")
        return given


def as_user_data(key: str, value: JSON) -> str | dict[str, Any]:
    """Return a value as user data holds it: text, or a map of such.

    Raises:
        PermanentError: The value is missing, null or a list.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case dict():
            return {name: as_user_data(f"{key}.{name}", item) for name, item in value.items()}
        case _:
            raise PermanentError(f"set: {key} must be text, a number, true, false or a map")


@action("set", args=Set, repeatable=True, needs=Operation.UPDATE_USER_DATA)
async def set_user_data(ctx: Context, args: Set) -> None:
    """Write user data; what is so already is not sent."""
    await ctx.im.update_user_data({k: as_user_data(k, v) for k, v in args.root.items()})


@action("unset", args=Unset, repeatable=True, needs=Operation.DELETE_USER_DATA)
async def unset_user_data(ctx: Context, args: Unset) -> None:
    """Remove keys of the user data; what is absent is not asked for."""
    for key in args.root:
        await ctx.im.delete_user_data(key)


plugin = Plugin("tagging", actions=(set_user_data, unset_user_data))
