"""What lies over the settings file: ``IMBOT_SECTION__KEY`` and ``section.key=value``.

Words of a path are keys in any case, or indexes of a list. Where a list or a mapping is due, text
that begins with ``[`` or ``{`` is YAML; all other text is taken as it is.
"""

from collections.abc import Mapping, Sequence

from imbot.config.fields import Path, dotted, due_at, is_list, is_structure, keys_at
from imbot.config.tree import Tree
from imbot.model import JSON
from imbot.problems import Place, did_you_mean
from imbot.settings import Settings
from imbot.yamlfile import load

_PREFIX = "IMBOT_"


def lay_environment_over(tree: Tree, environment: Mapping[str, str]) -> None:
    """Put every variable ``IMBOT_…`` into the tree."""
    for name in sorted(environment, key=_in_order):
        words = name.removeprefix(_PREFIX).split("__")
        if not name.startswith(_PREFIX) or not words[0]:
            continue
        place = Place(f"environment {name}")
        if len(words) == 1 and words[0].lower() not in Settings.model_fields:
            # Container platforms set IMBOT_PORT and the like for a service called imbot.
            cure = did_you_mean(words[0].lower(), Settings.model_fields)
            tree.warn(place, "unknown-key", "this is no setting and is ignored", cure)
        else:
            _lay_over(tree, words, environment[name], place)


def lay_options_over(tree: Tree, options: Sequence[str]) -> None:
    """Put every ``section.key=value`` into the tree."""
    for option in options:
        name, equals, text = option.partition("=")
        place = Place(f"option {name}")
        if equals and name:
            tree.open_to_others.add(str(place))  # every user of the machine sees it
            _lay_over(tree, name.split("."), text, place)
        else:
            # The rest of it may be a value, and a secret one.
            what = "an option without a key or without '='"
            tree.report(Place("option"), "bad-option", what, "write section.key=value")


def _in_order(name: str) -> list[str]:
    """Return a sort key that puts ``A__2`` before ``A__10``."""
    return [word.zfill(9) if word.isdecimal() else word for word in name.split("__")]


def _lay_over(tree: Tree, words: Sequence[str], text: str, place: Place) -> None:
    laid = _laid(tree, tree.values, (), words, text, place)
    tree.values = laid if isinstance(laid, dict) else tree.values


def _laid(tree: Tree, at: JSON, path: Path, words: Sequence[str], text: str, place: Place) -> JSON:
    """Return a value of the tree with the text under these words of it."""
    if not words:
        tree.places[path] = tree.keys[path] = place
        return _parsed(tree, text, path, place)
    if path:
        tree.places.setdefault(path, place)
        tree.keys.setdefault(path, place)
    if at is None:
        at = [] if is_list(due_at(path)) else {}
    if isinstance(at, dict):
        key = _key(words[0], at, path)
        return {**at, key: _laid(tree, at.get(key), (*path, key), words[1:], text, place)}
    if isinstance(at, list) and (index := _index(words[0], len(at))) is not None:
        items = [*at, None] if index == len(at) else list(at)
        items[index] = _laid(tree, items[index], (*path, index), words[1:], text, place)
        return items
    what = f"'{dotted(path)}' has no '{words[0]}'"
    count = len(at) if isinstance(at, list) else 0
    tree.report(place, "unknown-key", what, f"write a number from 0 to {count}" if count else "")
    return at


def _index(word: str, count: int) -> int | None:
    """Return the index that a word means in a list of so many, or one after it."""
    is_number = word.isascii() and word.isdecimal() and len(word) < len("1000000")
    return int(word) if is_number and int(word) <= count else None


def _key(word: str, values: Mapping[str, JSON], path: Path) -> str:
    """Return the key that a word means: a known one, or one of the file, in any case."""
    known = [*keys_at(path), *values]
    if word in known:
        return word
    alike = next((key for key in known if key.casefold() == word.casefold()), None)
    is_spelled = path == ("secrets",) or not word.isupper()
    return alike or (word if is_spelled else word.lower())


def _parsed(tree: Tree, text: str, path: Path, place: Place) -> JSON:
    """Return the text as the kind of value that is due at the path."""
    if not is_structure(due_at(path)) or not text.lstrip().startswith(("[", "{")):
        return text
    node, problems = load(str(place), text)
    tree.problems += problems
    if node is None:
        tree.unread.add(path)
        return text
    return tree.plain(node, path)
