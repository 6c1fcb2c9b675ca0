"""Pydantic models → the schemas of what people write for them in YAML.

A number is taken where text is due, and a text that is filled in later, a template or a reference,
may stand where something else is due.
"""

from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from imbot.schemas.parts import Schema, text

#: What pydantic says that is no use to an author, or not so in YAML.
_LEFT_OUT = frozenset({"title", "format", "writeOnly"})
_NULL = {"type": "null"}
_STRUCTURES = ("array", "object")


@dataclass(slots=True)
class Models:
    """Reads models; what they refer to is kept as definitions.

    Attributes:
        hole: The schema of text that is filled in later.
        fills_structures: Whether such a text may also stand for a list or a map.
        number: What stands in the place of a number; None for itself.
        definitions: The models that others refer to, by name.
    """

    hole: Schema
    fills_structures: bool = True
    number: Schema | None = None
    definitions: dict[str, Schema] = field(default_factory=dict)

    def schema(self, model: type[BaseModel], prefix: str) -> Schema:
        """Return the schema of a model; those it refers to are named with the prefix."""
        written = model.model_json_schema(ref_template=f"#/definitions/{prefix}.{{model}}")
        for name, part in written.pop("$defs", {}).items():
            self.definitions[f"{prefix}.{name}"] = self._whole(part)
        return self._whole(written)

    def value(self, model: type[BaseModel], prefix: str) -> Schema:
        """Return the schema of what may be written for a model: its short form, too."""
        whole = self.schema(model, prefix)
        if _takes_text(whole):
            return whole
        return {"anyOf": [whole, text() if _has_short_form(model) else self.hole]}

    def _whole(self, node: Schema) -> Schema:
        """Return a schema as YAML has it, but for itself as text that is filled in."""
        made = {key: value for key, value in node.items() if key not in _LEFT_OUT}
        if "description" in made:
            made["description"] = plain(made["description"])
        if made.get("default", ...) is None:
            del made["default"]
        if "anyOf" in made:
            ways = [self._whole(way) for way in made.pop("anyOf") if way != _NULL]
            made = {**ways[0], **made} if len(ways) == 1 else {**made, "anyOf": ways}
        for key in ("items", "additionalProperties"):
            if isinstance(made.get(key), dict):
                made[key] = self._part(made[key])
        if "properties" in made:
            made["properties"] = {key: self._part(each) for key, each in made["properties"].items()}
        return self._scalar(made)

    def _scalar(self, made: Schema) -> Schema:
        """Return the schema with the numbers that may stand for it."""
        if made.get("type") == "number" and self.number is not None:
            told = {"description": made["description"]} if "description" in made else {}
            return told | self.number
        if made.get("type") == "string" and "enum" not in made:
            return made | text()
        return made

    def _part(self, node: Schema) -> Schema:
        """Return the schema of what stands inside a model."""
        made = self._whole(node)
        is_structure = "$ref" in made or made.get("type") in _STRUCTURES
        if _takes_text(made) or (is_structure and not self.fills_structures):
            return made
        told: Schema = {key: made.pop(key) for key in ("description", "default") if key in made}
        return told | {"anyOf": [*made.get("anyOf", [made]), self.hole]}


def plain(told: str) -> str:
    """Return a docstring's text for an editor: on one line, code in single backticks."""
    return " ".join(told.replace("``", "`").split())


def _takes_text(schema: Schema) -> bool:
    """Whether every text fits that is long enough to be filled in later."""
    if "anyOf" in schema:
        return any(map(_takes_text, schema["anyOf"]))
    is_open = not schema.keys() & {"$ref", "pattern", "enum", "const", "maxLength"}
    return is_open and "string" in schema.get("type", ["string"])


def _has_short_form(model: type[BaseModel]) -> bool:
    """Whether a plain text stands for all of a model."""
    try:
        model.model_validate("text")
    except ValidationError:
        return False
    return True
