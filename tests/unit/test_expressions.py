"""Conditions as the rest of imbot sees them."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.expressions import parse
from tests.unit.rule_language import KNOWN, NAMES, SCOPE, SENSES, STARTED, expression, place


def test_explain_shows_each_leaf_with_what_it_looked_at():
    """'Why did it not fire' is answered leaf by leaf, in the author's spelling."""
    tested = expression(
        'session.state == "Talking" and not session.userData.nope\n'
        "and (age( session.started_at ) > 5 if crm[message.text] else any_of(crm.status  == 1))"
    )

    shown = tested.explain(SCOPE, SENSES)

    assert [(leaf.text, leaf.holds) for leaf in shown] == [
        ('session.state == "Talking"', True),
        ("session.userData.nope", False),
        ("age( session.started_at ) > 5", True),
        ("crm[message.text]", False),
        ("crm.status == 1", False),
    ]
    assert tested.leaves == tuple(leaf.text for leaf in shown)
    assert shown[0].operands == (("session.state", "Talking"),)
    assert str(shown[1].operands) == "(('session.userData.nope', <missing>),)"
    assert shown[2].operands == (
        ("age( session.started_at )", 600.0),
        ("session.started_at", STARTED),
    )
    assert [name for name, _ in shown[3].operands] == ["crm[message.text]", "crm", "message.text"]


def test_names_and_functions_tell_what_a_condition_looks_at():
    """The checker of a rulebook asks."""
    assert expression("vars.gold == crm.a").names_used == {"vars", "crm"}
    assert expression('can("Complete") and now()').names_used == {"session"}


@given(
    st.text(alphabet="session.tae()[]\"'=<>! andortifls0123456789,{}|\n\\#:äé", max_size=60)
    | st.text()
)
def test_any_text_is_an_expression_or_a_list_of_mistakes(source):
    """Nothing but problems leaves the parser, whatever a file holds."""
    parsed, problems = parse(source, place, NAMES, KNOWN)

    assert (parsed is None) == bool(problems)
    for problem in problems:
        assert 10 <= problem.place.line <= 10 + source.count("\n")
        assert problem.place.column >= 20
