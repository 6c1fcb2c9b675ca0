"""Payment-card numbers and their check digits, masked in what comes from the wire; pure.

A number is masked where it fits a card by its first digits, its length and its check digit (Luhn),
however its digits are grouped or written; the last four stay. Phone numbers with ``+`` or ``00``
are none. What is masked stays as it is when it is masked again: an echo of our own text is known by
comparing what masking makes of both.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import accumulate

from imbot.model import JSON

#: Digits of every script, and those in circles and above the line.
_D = (
    "\\d\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089"
    "\u2460-\u2468\u24ea\u2776-\u277e\u2780-\u2788"
)
#: What may stand between the digits of one number: spaces, hyphens, dots, and what is not seen.
_BETWEEN = (
    "[\\s.\\-\u00ad\u00b7\u2010-\u2015\u2022\u2212"
    "\u200b-\u200f\u2060\ufeff\ufe58\ufe63\uff0d\uff0e]*"
)

_SHORTEST, _LONGEST = 13, 19
#: So many digits, at least, are together at the beginning of a number, unless all groups are alike.
_ON_CARDS = 4
_DIGIT = re.compile(f"[{_D}]")
_GROUP = re.compile(f"[{_D}]+")
_RUN = re.compile(f"[{_D}](?:{_BETWEEN}[{_D}]){{{_SHORTEST - 1},}}")
#: A longer run of digits is nothing that anybody writes to anybody: it is masked whole.
_LONGEST_RUN = 1000

#: Who gives out cards that begin so, of which length. Visa, Mastercard, Amex, Diners, Discover,
#: JCB, UnionPay, Maestro, Mir, RuPay, Troy, UATP.
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{17,18})"
    r"|5[1-5]\d{14}|5[06-9]\d{11,17}"
    r"|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|220[0-4]\d{12,15}"
    r"|3[47]\d{13}|3(?:0[0-5]|095|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|62\d{14,17}|6[013-9]\d{11,17}|8[12]\d{14,17}|9792\d{12}|1\d{14}"
)

#: International numbers have no more digits, with their country.
_LONGEST_PHONE = 15
_OUTSIDE = re.compile(r"(?:\+|(?<!\d)00)[\s(]*$")

#: Cards have so many check digits.
_CHECK_DIGITS = (3, 4)
#: Characters after a card number in which its check digits are looked for.
_NEAR = 40
_SHORT_GROUP = re.compile(f"(?<![{_D}])[{_D}]{{3,4}}(?![{_D}])")

_NAME_OF_CHECK = (
    r"(?:cvv2?|cvc2?|cvn2?|card[ _-]?verification(?:[ _-]?(?:value|code|number))?"
    r"|security[ _-]?code|(?:karten)?pr\u00fcf(?:nummer|ziffern?|code)"
    r"|sicherheits(?:code|nummer)|c\u00f3digo de seguridad|code de s\u00e9curit\u00e9|cryptogramme)"
)
_CHECK = re.compile(
    rf"\b{_NAME_OF_CHECK}[^\w*]{{0,4}}"
    r"(?:(?:is|ist|lautet|number|nummer|nr|no|code|est|es|de|der|my|meine?)[^\w*]{1,4}){0,2}"
    rf"([{_D}]{{3,4}})(?![{_D}])",
    re.IGNORECASE,
)
#: One of these stands in whatever names check digits in ASCII; they are looked for much sooner.
_NAMED_IN_ASCII = re.compile("cv|verification|security|sicherheits|cryptogramme")
_CHECK_KEY = re.compile(rf"(?:.*[\W_])?{_NAME_OF_CHECK}", re.IGNORECASE)
_CHECK_VALUE = re.compile(f"[{_D}]{{3,4}}")
_PHONE_KEY = re.compile(
    r"(?:^|.*[\W_\d])(?:ani|dnis)(?:$|[\W_\d])|.*(?:phone|tele?fon|mobil|msisdn|caller|callback|rufnummer)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Return the text with ``*`` for the digits of cards, but for the last four of each number."""
    if _count_of_digits(text) < min(_CHECK_DIGITS):
        return text
    # What is left of one number may make a number with what follows it.
    while (once := _without_checks(_without_numbers(text))) != text:
        text = once
    return text


def _count_of_digits(text: str) -> int:
    if text.isascii():
        return len(text) - len(text.encode().translate(None, b"0123456789"))
    return len(_DIGIT.findall(text))


def masked_value(value: JSON) -> JSON:
    """Return a plain value with its texts, its keys and its long numbers masked."""
    match value:
        case str():
            return masked(value)
        case Mapping():
            return dict(masked_item(name, item) for name, item in value.items())
        case list() | tuple():
            return [masked_value(item) for item in value]
        case bool():
            return value
        case int() | float():
            written = str(int(value)) if value == value // 1 else ""
            return value if (hidden := masked(written)) == written else hidden
        case _:
            return value


def masked_item(name: str, value: JSON) -> tuple[str, JSON]:
    """Return a key of user data and its value, masked: the key may say what the value is."""
    if isinstance(value, str | int):
        written = str(value).strip()
        if _CHECK_KEY.fullmatch(name) and _CHECK_VALUE.fullmatch(written):
            return name, "*" * len(written)
        if _PHONE_KEY.match(name) and len(_DIGIT.findall(written)) <= _LONGEST_PHONE:
            return masked(name), value
    return masked(name), masked_value(value)


def _without_numbers(text: str) -> str:
    if _count_of_digits(text) < _SHORTEST:
        return text
    pieces, done = [], 0
    for run in _RUN.finditer(text):
        if (start := run.start()) < done:
            continue
        is_phone = _OUTSIDE.search(text, max(0, start - 8), start) is not None
        hidden = _masked_run(run[0], is_phone=is_phone)
        if hidden == run[0]:
            continue
        near = _SHORT_GROUP.sub(_stars, text[run.end() : run.end() + _NEAR])
        pieces += [text[done:start], hidden, near]
        done = run.end() + len(near)
    return "".join(pieces) + text[done:] if pieces else text


def _without_checks(text: str) -> str:
    if text.isascii() and _NAMED_IN_ASCII.search(text.lower()) is None:
        return text
    return _CHECK.sub(lambda found: found[0][: -len(found[1])] + "*" * len(found[1]), text)


def _masked_run(run: str, *, is_phone: bool) -> str:
    """Return digits and what is between them, the numbers of cards among them masked."""
    groups = [found.span() for found in _GROUP.finditer(run)]
    places = [at for start, end in groups for at in range(start, end)]
    if len(places) > _LONGEST_RUN:
        return _GROUP.sub(_stars, run)
    hidden = {
        at for start, end in _cards(run, groups, is_phone=is_phone) for at in places[start:end]
    }
    return "".join("*" if at in hidden else char for at, char in enumerate(run))


def _cards(run: str, groups: list[tuple[int, int]], *, is_phone: bool) -> Iterator[tuple[int, int]]:
    """Yield which digits of a run, counted without what is between them, are to be hidden."""
    sizes = [end - start for start, end in groups]
    digits = "".join(str(unicodedata.digit(c)) for c in run if _DIGIT.match(c))
    ends = [*accumulate(sizes)]
    sums = _luhn_sums(digits)
    free = 0
    for first, size in enumerate(sizes):
        start = ends[first] - size
        if start < free:
            continue
        is_phone = is_phone if first == 0 else digits[:start] == "00"
        found = [
            end
            for end in _ends(sizes, ends, first)
            if _is_card(digits, start, end, sums)
            and not (is_phone and end - start <= _LONGEST_PHONE)
        ]
        if found:
            free = found[-1]
            # Where it may be several, nobody knows which digits would be the last four.
            yield start, free - 4 if len(found) == 1 else free
        elif free and size in _CHECK_DIGITS:
            yield start, start + size


def _ends(sizes: list[int], ends: list[int], first: int) -> Iterator[int]:
    """Yield where a number may end that begins with this group, as people group digits."""
    size = sizes[first]
    start = ends[first] - size
    is_usual = True
    for last in range(first, len(sizes)):
        length = ends[last] - start
        if length > _LONGEST or not is_usual:
            return
        if length >= _SHORTEST and (size >= _ON_CARDS or sizes[last] <= size):
            yield ends[last]
        is_usual = size >= _ON_CARDS or sizes[last] == size


def _is_card(digits: str, start: int, end: int, sums: tuple[list[int], list[int]]) -> bool:
    plain = sums[(end - 1) % 2]
    is_checked = (plain[end] - plain[start]) % 10 == 0
    return is_checked and _CARD.fullmatch(digits, start, end) is not None


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Return running sums of the digits, the odd ones doubled, and the even ones doubled."""
    values = [int(digit) for digit in digits]
    doubled = [2 * value - 9 * (value > 4) for value in values]  # noqa: PLR2004  Luhn
    return (
        [0, *accumulate(doubled[at] if at % 2 else value for at, value in enumerate(values))],
        [0, *accumulate(value if at % 2 else doubled[at] for at, value in enumerate(values))],
    )


def _stars(found: re.Match[str]) -> str:
    return "*" * len(found[0])
