"""The page of the settings: every setting, part by part."""

from collections.abc import Iterator

from pydantic import BaseModel

from docs.generator import models
from docs.generator.markdown import prose, table
from imbot.settings import AgentPart, AuthPart, Settings

_HEADS = ("setting", "type", "default", "meaning")


def page() -> Iterator[str]:
    """Yield every setting."""
    yield from table(_HEADS, models.rows(Settings))
    parts = [(name, field.annotation) for name, field in Settings.model_fields.items()]
    parts += [("agents", AgentPart), ("agents[].auth", AuthPart)]
    for name, model in parts:
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (f"## `{name}`", "", _sentence(model), "")
            yield from table(_HEADS, models.rows(model))


def _sentence(model: type[BaseModel]) -> str:
    """Return what a part is, without its own name in front."""
    told = (model.__doc__ or "").partition(": ")[2] or (model.__doc__ or "")
    return prose(told[:1].upper() + told[1:])
