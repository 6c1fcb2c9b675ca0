"""Writes conditions and templates: right ones by grammar, and what mutation makes of them."""

from random import Random

from tests.fuzz import words

_PATHS = {
    "text": (
        "session.id", "session.state", "session.userData.tier", "session.userData['odd key']",
        "participant.digits", "participant.phoneNumber", "message.text", "bot.nickname",
        "agent.user",
        "vars.gold", "crm.words", "crm.json.tags[0]", "event.kind", "event.previous",
        "event.changed.tier.new", "session.participants[0].digits", "session.nosuch", "mesage.text",
    ),
    "number": ("event.age", "vars.limit", "crm.status", "session.userData.age", "crm.json.n",
        "event.idle"),
    "moment": ("session.started_at", "message.at", "event.at", "crm.at"),
    "bool": ("session.mine", "event.resync", "crm.flag", "found.found"),
    "list": (
        "session.participants", "session.capabilities", "vars.parts", "crm.json.tags", "crm.list",
        "crm.words.list", "session.userData",
    ),
}  # fmt: skip
_LITERALS = {
    "text": ("'gold'", '"Talking"', "''", "'ä €'", "'SendMessage'", "'5m'", r"'\d+'", r"'\ud800'",
        "'{{'"),
    "number": ("0", "1", "-5", "3.5", "9007199254740992", "1e400", "-0.0", "007", "1_000", "0x1f",
        "1j"),
    "moment": ("now()", "next_open('support')", "next_close('sales')", "next_open('nosuch')",
        "now(1)"),
    "bool": ("True", "false", "can('SendMessage')", "open('support')", "once_done('greet')"),
    "list": ("[]", "['a', 'b']", "(1, 2.5, 'x')", "[[], [None]]", "('a',)"),
}  # fmt: skip
_FILTERS = (
    "localtime('support')", "localtime", "localtime('Asia/Tokyo', '%H:%M')", "isoformat", "e164",
    "e164(country='US')", "mask", "mask(2)", "default('x')", "default('', true)", "truncate(10)",
    "truncate(5, true, '…')", "lower", "upper", "title", "trim", "replace('a', 'bb')",
    "replace('', 'xyz')",
    "join(', ')", "first", "last", "length", "tojson", "nosuch", "truncate(-1)",
    "truncate(99999999)",
    "localtime('support', format='%99999d')", "mask(-3)", "default", "join", "replace('a')",
    "e164('XX')",
)  # fmt: skip
_TESTS = ("defined", "undefined", "none", "not none", "odd", "not defined")
_TOKENS = (
    " and ", " or ", "not ", " == ", " != ", " < ", " in ", " not in ", " is ", " if ", " else ",
    "(", ")",
    "[", "]", ".", ",", "=", "==", "|", " | ", "{{", "}}", "{{-", "-}}", "{%", "%}", "{#", "#}",
    "*", "**",
    "~", "+", "-", "%", "lambda: ", "for x in ", ":=", "f'{x}'", "b'x'", "'", '"', "'''", "\\", "#",
    ";", ":",
    "any_of(", "all_of(", "len(", "lower(", "matches(", "duration(", "__class__", ".__globals__",
    "await ",
    "secret('CRM')", "secret(", "session", "vars", "\n", "\r\n", "\t", "...", "@", "!", "`", "loop",
    "self",
)  # fmt: skip


_ORDERED = (
    ("text", ("==", "!=")),
    ("number", ("<", "<=", ">", ">=", "==", "!=")),
    ("moment", ("<", ">=", "==")),
)


class Writer:
    """Writes expressions with one source of chance.

    Args:
        random: The chance.
    """

    def __init__(self, random: Random) -> None:
        self._random = random

    def condition(self) -> str:
        """Return a condition, or something like one."""
        return self._bent(self._of_any_kind())

    def template(self) -> str:
        """Return a template, or something like one."""
        random = self._random
        parts = []
        for _ in range(random.choice((1, 1, 2, 3, 6))):
            if random.random() < 0.5:
                parts.append(
                    random.choice(
                        ("Hello ", ", ", "! ", "\n", "ä€", "}}", "{ {", words.odd(random))
                    )
                )
            parts.append(self._hole())
        return self._bent("".join(parts))

    def _of_any_kind(self) -> str:
        random = self._random
        if random.random() < 0.03:
            return self._monster()
        return self.value(
            "bool" if random.random() < 0.7 else random.choice(list(_PATHS)), random.randint(0, 4)
        )

    def _monster(self) -> str:
        """Return an expression that is deep, long or wide."""
        random = self._random
        opening, closing = random.choice(
            (("(", ")"), ("[", "]"), ("not ", ""), ("-", ""), ("lower(", ")"), ("x[", "]"),
            ("any_of(", ")"),
             ("1 if ", " else 2"), ("a.", ""), ("", ".a"), ("", "[0]"), ("'' < ", ""), ("",
             " or x"))
        )  # fmt: skip
        times = random.choice((10, 30, 60, 100, 300, 1000, 5000))
        return opening * times + self.value("text", 0) + closing * times

    def value(self, kind: str, depth: int) -> str:  # noqa: PLR0911  one case per kind
        """Return an expression that mostly is of this kind.

        Args:
            kind: text, number, moment, bool or list.
            depth: How deep it may nest.
        """
        random = self._random
        if random.random() < 0.04:
            kind = random.choice(list(_PATHS))
        if depth <= 0:
            return random.choice(random.choice((_PATHS, _LITERALS))[kind])
        one, chance = depth - 1, random.random()
        if chance < 0.1:
            return f"({self.value(kind, one)})"
        if chance < 0.15:
            return (
                f"{self.value(kind, one)} if {self.value('bool', one)} else {self.value(kind, one)}"
            )
        match kind:
            case "bool":
                return self._test(one)
            case "text":
                function = random.choice(("lower", "upper", "strip"))
                return f"{function}({self.value('text', one)})"
            case "number":
                forms = (
                    f"len({self.value(random.choice(('text', 'list')), one)})",
                    f"number({self.value('text', one)})",
                    f"age({self.value('moment', one)})",
                    f"duration('{random.choice(words.DURATIONS)}')",
                )
                return random.choice(forms)
            case "list":
                return f"[{self.value('text', one)}, {self.value('number', one)}]"
            case _:
                return self.value(kind, 0)

    def _test(self, one: int) -> str:  # noqa: PLR0911  one case per form
        random = self._random
        match random.randrange(8):
            case 0:
                kind, operators = random.choice(_ORDERED)
                return self._pair(kind, f" {random.choice(operators)} ", one)
            case 1:
                return self._pair("bool", random.choice((" and ", " or ")), one)
            case 2:
                return f"not {self.value('bool', one)}"
            case 3:
                return f"{self.value('text', one)} in {self.value('list', one)}"
            case 4:
                return f"{random.choice(('any_of', 'all_of'))}({self._pair('bool', ', ', one)})"
            case 5:
                function = random.choice(("contains", "startswith", "endswith"))
                return f"{function}({self._pair('text', ', ', one)})"
            case 6:
                return f"matches({self.value('text', one)}, {random.choice(words.PATTERNS)!r})"
            case _:
                return f"said({self.value('text', 0)})"

    def _pair(self, kind: str, between: str, depth: int) -> str:
        return self.value(kind, depth) + between + self.value(kind, depth)

    def _hole(self) -> str:
        random = self._random
        kind = random.choice(("text", "text", "text", "number", "moment", "list", "bool"))
        inside = self.value(kind, random.choice((0, 0, 0, 1, 2)))
        if kind == "moment":
            inside += random.choice((" | localtime('support')", " | isoformat", ""))
        while random.random() < 0.45:
            inside += f" | {random.choice(_FILTERS)}"
        if random.random() < 0.05:
            inside += f" is {random.choice(_TESTS)}"
        opening, closing = random.choice(
            (("{{ ", " }}"), ("{{ ", " }}"), ("{{", "}}"), ("{{- ", " -}}"))
        )
        return opening + inside + closing

    def _bent(self, text: str) -> str:
        """Return the text, in four of ten cases with mistakes."""
        random = self._random
        if random.random() < 0.02:
            return words.characters(random, 60)
        if random.random() < 0.05:
            return "".join(random.choice(_TOKENS) for _ in range(random.randint(0, 30)))
        while random.random() < 0.3:
            at = random.randint(0, len(text))
            to = min(at + random.randint(0, 8), len(text))
            put = random.choice(
                (random.choice(_TOKENS), words.odd(random), text[at:to] * 2, "", text[::-1][:9])
            )
            text = text[:at] + put + text[to:]
        return text
