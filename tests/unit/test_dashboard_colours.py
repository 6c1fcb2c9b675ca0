"""Whoever sees little can read every word of the dashboard, in light and in dark (WCAG 2.1, AA)."""

import re
from importlib import resources

import pytest

#: Words on their grounds, as the style sheet uses them.
PAIRS = (
    *(("ink", "page"), ("ink", "card"), ("ink", "sunk"), ("ink", "tint")),
    *(("soft", "page"), ("soft", "card"), ("soft", "sunk")),
    *(("accent", "page"), ("accent", "card"), ("on-accent", "accent"), ("accent", "sunk")),
    *(("good", "good-tint"), ("warn", "warn-tint"), ("bad", "bad-tint")),
    *(("good", "card"), ("warn", "card"), ("bad", "card"), ("card", "bad"), ("page", "ink")),
)


def colours(scheme: str) -> dict[str, str]:
    """Return the colours of a scheme by name; what the dark one leaves out is as in the light."""
    css = (resources.files("imbot.admin.dashboard") / "static" / "imbot.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    named = dict(re.findall(r"--([\w-]+): #(\w{6});", light))
    return named | (dict(re.findall(r"--([\w-]+): #(\w{6});", dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("word", "ground"), PAIRS)
def test_words_stand_out_from_their_ground(scheme, word, ground):
    of = colours(scheme)
    darker, lighter = sorted((luminance(of[word]), luminance(of[ground])))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
