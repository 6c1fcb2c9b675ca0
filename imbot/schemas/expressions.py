"""The schemas of expressions and of texts with templates; editors offer functions and names."""

from imbot.rulebook.filters import FILTERS
from imbot.rulebook.functions import FUNCTIONS, Function, Role
from imbot.rulebook.namewords import NAMES
from imbot.schemas.models import plain
from imbot.schemas.parts import Schema, listed

#: What an editor writes for an argument that names something.
_SAMPLES = {Role.CALENDAR: "support", Role.CAPABILITY: "SendMessage", Role.RULE: "rule-id"}


def expression() -> Schema:
    """Return the schema of one expression."""
    return {
        "description": "An expression: names such as session.userData.tier, comparisons, "
        f"and, or, not, in, and the functions {', '.join(FUNCTIONS)}, any_of, all_of.",
        "type": ["string", "number", "boolean"],
        "defaultSnippets": [
            *(_snippet(each) for each in FUNCTIONS.values()),
            *({"label": name, "description": told, "body": name} for name, told in NAMES.items()),
        ],
    }


def condition(one: Schema) -> Schema:
    """Return the schema of an expression, or of a list of them that all must hold."""
    return {"anyOf": [one, listed(one, least=1)]}


def template() -> Schema:
    """Return the schema of a text whose value is known later."""
    return {
        "description": "A text with {{ … }}, filled in when the step is carried out. Behind a | "
        f"stand the filters {', '.join(FILTERS)}.",
        "type": "string",
        "pattern": r"\{\{",
        "patternErrorMessage": "Write a value of the right kind, or a template {{ … }}.",
    }


def _snippet(function: Function) -> Schema:
    """Return what an editor offers for a function: a call with a stop at each argument."""
    stops = []
    for number, each in enumerate(function.parameters, start=1):
        sample = f"${{{number}:{_SAMPLES.get(each.role, each.name) if each.role else each.name}}}"
        quoted = each.role is not None or each.prepare is not None
        stops.append(f'"{sample}"' if quoted else sample)
    named = ", ".join(each.name for each in function.parameters)
    return {
        "label": f"{function.name}({named})",
        "description": f"{plain(function.run.__doc__ or '')} Such as {function.example}",
        "body": f"{function.name}({', '.join(stops)})",
    }
