"""The page of the settings: every setting, part by part."""

from collections.abc import Iterator

from pydantic import BaseModel

from docs.generator import models
from docs.generator.markdown import contents, prose, table
from imbot.settings import AgentPart, AuthPart, Settings

_HEADS = ("setting", "type", "default", "meaning")


def page() -> Iterator[str]:
    """Yield every setting."""
    parts = dict(_parts())
    yield from contents(f"`{name}`" for name in parts)
    yield from table(_HEADS, models.rows(Settings))
    for name, model in parts.items():
        yield from (f"## `{name}`", "", _sentence(model), "")
        yield from table(_HEADS, models.rows(model))


def _parts() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation
    yield from (("agents", AgentPart), ("agents[].auth", AuthPart))


def _sentence(model: type[BaseModel]) -> str:
    """Return what a part is, without its own name in front."""
    told = (model.__doc__ or "").partition(": ")[2] or (model.__doc__ or "")
    return prose(told[:1].upper() + told[1:])
