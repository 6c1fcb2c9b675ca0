"""Card numbers and phone numbers by the thousand, for tests: made up, and valid in their form."""

from random import Random

import phonenumbers

#: How cards of the world begin, and how long they are.
KINDS = (
    *(("4", 16),) * 6,
    *(("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16)),
    *(("34", 15), ("37", 15), ("300", 14), ("36", 14), ("38", 14), ("36", 19)),
    *(("6011", 16), ("65", 16), ("644", 19), ("3528", 16), ("3589", 19), ("62", 16), ("62", 19)),
    *(("50", 16), ("5018", 13), ("5893", 16), ("6304", 19), ("67", 16), ("2200", 16), ("8171", 16)),
    *(("9792", 16), ("81", 16)),
)

#: How people write them.
GROUPINGS = ((), (4, 4, 4, 4, 4), (4, 6, 9), (4, 3, 3, 9), (8, 8, 8), (6, 13), (1,) * 19, (2,) * 10)
BETWEEN = (" ", "-", ".", "\u00a0", "\u2013", "\u200b", "  ", " - ", "\u202f")
DIGITS = ("\u0660", "\u06f0", "\u0966", "\uff10", "\U0001d7ce")


def card(random: Random) -> str:
    """Return a number that some bank could have given out."""
    begins, length = random.choice(KINDS)
    body = begins + "".join(random.choices("0123456789", k=length - len(begins) - 1))
    return body + check_digit(body)


def check_digit(body: str) -> str:
    """Return the last digit of the number (Luhn)."""
    doubled = [2 * int(digit) for digit in body[::-2]]
    total = sum(n - 9 * (n > 9) for n in doubled) + sum(map(int, body[-2::-2]))
    return str(-total % 10)


def written(number: str, random: Random) -> str:
    """Return the number as somebody may write it."""
    sizes = random.choice(GROUPINGS)
    if sizes == (4, 3, 3, 9) and len(number) != 13:
        sizes = ()
    pieces, rest = [], number
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    text = random.choice(BETWEEN).join(filter(None, [*pieces, rest]))
    if random.random() < 0.1:
        zero = ord(random.choice(DIGITS))
        text = "".join(chr(zero + int(c)) if c in "0123456789" else c for c in text)
    return text


def phone_numbers(count: int, random: Random):
    """Yield phone numbers of the whole world, written in the five usual ways."""
    kinds = [
        number
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    ]
    forms = phonenumbers.PhoneNumberFormat
    for place in range(count):
        like = kinds[place // 5 % len(kinds)]
        digits = str(like.national_number)
        end = "".join(random.choices("0123456789", k=6))
        number = phonenumbers.PhoneNumber(
            country_code=like.country_code,
            national_number=int(digits[:-6] + end),
            italian_leading_zero=like.italian_leading_zero,
        )
        form = (forms.E164, forms.INTERNATIONAL, forms.NATIONAL, forms.RFC3966, None)[place % 5]
        if form is None:
            yield phonenumbers.format_number(number, forms.E164).removeprefix("+")
        else:
            yield phonenumbers.format_number(number, form)
