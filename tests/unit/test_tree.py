"""The tree: how it is walked and shown."""

from imbot.rulebook.tree import Path, leaves, walk
from tests.unit.rule_language import expression


def test_a_path_is_shown_as_an_author_would_write_it():
    """Messages name what is missing."""
    assert str(Path(("crm", "a b", 0, "name"))) == "crm['a b'][0].name"


def test_a_walk_sees_every_node_once():
    """Checks of a rulebook must not overlook a name."""
    tree = expression(
        "lower(crm[crm.a]) in [crm.b, 'x'] and not (crm.c if crm.d else any_of(crm.e))"
    ).tree

    paths = [str(node) for node in walk(tree) if isinstance(node, Path)]

    assert paths == ["crm", "crm.a", "crm.b", "crm.d", "crm.c", "crm.e"]
    assert len(list(leaves(tree))) == 4
