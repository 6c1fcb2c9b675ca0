"""Where each character of a YAML scalar's text stands in the file.

A scalar's text is not what stands in the file: escapes are read, lines folded, indentation removed.
This walks the written form as the parser did, and is used only to show where inside a scalar a
mistake is. It refuses nothing: the parser has taken the text already.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

#: The characters of a text, each with the offset of what stands for it.
_Walk = list[tuple[str, int]]

_BREAK = re.compile(r"\r\n|\n|\r")
_FOLD = re.compile(r"[ \t]*(?:\r\n|\n|\r)((?:[ \t]*(?:\r\n|\n|\r))*)[ \t]*")
_JOINED = re.compile(r"\\(?:\r\n|\n|\r)((?:[ \t]*(?:\r\n|\n|\r))*)[ \t]*")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}


# Mistakes come in crowds, and each asks for the scalar that the one before it stood in.
@lru_cache(maxsize=2)
def source_offsets(written: str, text: str, style: str) -> tuple[int, ...]:
    """Return, for each character of ``text`` and its end, its offset in ``written``.

    All are 0 where the two do not fit together; only line breaks that YAML 1.2 does not know
    (NEL, LS, PS) at the edge of a line bring that about.

    Args:
        written: The scalar as it stands in the file, quotes or block header included.
        text: The text that the parser made of it.
        style: ``"``, ``'``, ``|``, ``>``; anything else is plain.
    """
    walks = _block(written, style) if style in ("|", ">") else iter([_flow(written, style)])
    for walk in walks:
        if "".join(char for char, _ in walk) == text:
            end = walk[-1][1] + 1 if walk else min(len(written), 1)
            return (*(offset for _, offset in walk), end)
    return (0,) * (len(text) + 1)


def _flow(written: str, style: str) -> _Walk:
    """Return the walk of a plain or quoted scalar."""
    quotes = 1 if style else 0
    at, end = quotes, len(written) - quotes
    walk: _Walk = []
    while at < end:
        if fold := _FOLD.match(written, at, end):
            blank = _BREAK.findall(fold[1])
            walk.extend([("\n", fold.start(1))] * len(blank) or [(" ", at)])
            at = fold.end()
        elif style == '"' and written[at] == "\\":
            at = _escape(written, at, walk)
        else:
            walk.append((written[at], at))
            at += 2 if style == "'" and written[at] == "'" else 1
    return walk


def _escape(written: str, at: int, walk: _Walk) -> int:
    """Add what the escape at ``at`` stands for; return where it ends."""
    if joined := _JOINED.match(written, at):
        walk.extend([("\n", at)] * len(_BREAK.findall(joined[1])))
        return joined.end()
    letter = written[at + 1]
    if (digits := _ESCAPE_DIGITS.get(letter)) is not None:
        walk.append((chr(int(written[at + 2 : at + 2 + digits], 16)), at))
        return at + 2 + digits
    walk.append((_ESCAPES.get(letter, letter), at))
    return at + 2


def _block(written: str, style: str) -> Iterator[_Walk]:
    """Yield the walk of a block scalar for each indentation that it may have.

    The indentation is a matter of what stands around the scalar, which is not seen here.
    """
    lines = [(line.start(), line[1], line[2]) for line in _LINE.finditer(written)]
    header, body = lines[0][1], lines[1:]
    first = next((text for _, text, _ in body if text.strip(" ")), "")
    keep = header.partition("#")[0]
    for indent in range(len(first) - len(first.lstrip(" ")), -1, -1):
        yield _block_walk(body, indent, style, "-" if "-" in keep else "+" if "+" in keep else "")


def _block_walk(body: list[tuple[int, str, str]], indent: int, style: str, chomp: str) -> _Walk:
    """Return the walk of a block scalar's lines, as libyaml joins them."""
    walk: _Walk = []
    breaks: _Walk = []  # of the empty lines since the last line with text
    last: _Walk = []  # the break of that line
    was_more_indented = False
    for start, line, ending in body:
        if not line[indent:] and not line.strip(" "):
            breaks += [("\n", start)] if ending else []
            continue
        is_more_indented = line[indent] in " \t"
        if style == ">" and last and not was_more_indented and not is_more_indented:
            walk += [] if breaks else [(" ", last[0][1])]
        else:
            walk += last
        walk += breaks
        walk += [(char, start + indent + i) for i, char in enumerate(line[indent:])]
        breaks, was_more_indented = [], is_more_indented
        last = [("\n", start + len(line))] if ending else []
    return walk + (last if chomp != "-" else []) + (breaks if chomp == "+" else [])
