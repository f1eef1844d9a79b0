"""Policy text: a mistake must be refused with its place, never published to be skipped later."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from privacy.decision import Action
from privacy.duty import Duties, Quota
from privacy.rule import MAX_RULES, MAX_TEXT, Rule, read_rules

COMPUTE = 'principal, action == Action::"compute", resource'
RELEASE = 'principal, action == Action::"release", resource'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f'@id("a")\npermit ({COMPUTE})\nwhen {{ context.granteed }};',
            r'^policy:3:16: attribute `granteed` in context for Action::"compute" not found',
        ),
        (f'@id("a")\npermit ({COMPUTE})\nwhen {{ context.granted && }};', r"^policy:3:27: unexpected token `}`"),
        ('@id("a")\npermit (principal, acton, resource);', r"^policy:2:20: .*acton"),
        ('@id("a")\npermit (principal, action, resource)', r"^policy:2:37: unexpected end of input"),
        ('@id("a") permit (principal, action == Action::"comp", resource);', r'^policy:1:39: .*`Action::"comp"`'),
        ('@id("a") permit (principal, action, resource is Foo);', r"^policy:1:49: .*`Foo`"),
        (f'@id("a") permit ({COMPUTE}) when {{ resource.owner == context.here }};', r"^policy:1:\d+: .*`owner`.*Value"),
        (f'// fine\n@id("a") permit ({COMPUTE}) when {{ context.granted == 1 }};', r"^policy:2:1: the types"),
        (f'@id("a") permit ({COMPUTE}) when {{ context has foo && context.foo }};', r"^policy:1:83: .*leave «has» out"),
        ("permit (principal, action, resource);", r"^policy:1:1: a rule needs a name"),
        ('@id("two words") permit (principal, action, resource);', r"^policy:1:1: a rule needs a name"),
        ("@id permit (principal, action, resource);", r"^policy:1:1: a rule needs a name"),
        ('@id("a") @id("b") permit (principal, action, resource);', r"^policy:1:2: duplicate annotation"),
        (
            '@id("a") permit (principal, action, resource);\n @id("a") forbid (principal, action, resource);',
            r"^policy:2:2: a second rule is called «a»",
        ),
        (
            '@id("a")\n  @note("x") permit (principal, action, resource);',
            r"^policy:2:3: the annotation @note is not known",
        ),
        (f'@id("a") @approve("nurse") permit ({COMPUTE});', r"^policy:1:10: @approve says who must"),
        (f'@id("a") @approve("1 stewards") permit ({COMPUTE});', r"^policy:1:10: @approve says who must"),
        (f'@id("a") @approve permit ({COMPUTE});', r"^policy:1:10: @approve says who must"),
        ('@id("a") @approve("steward") permit (principal, action, resource);', r"^policy:1:10: .*compute and release"),
        (f'@id("a") @min_cell("10") permit ({COMPUTE});', r"^policy:1:10: @min_cell is a duty .* release alone"),
        (f'@id("a") @min_cell("ten") permit ({RELEASE});', r"^policy:1:10: @min_cell is the least"),
        (f'@id("a")\n@quota("many rows") permit ({RELEASE});', r"^policy:2:1: @quota is a number of rows"),
        (f'@id("a") @quota("1000000 rows/30d") forbid ({COMPUTE});', r"^policy:1:10: @quota is a duty of permits"),
        (f'@id("a") @quota("5 rows/30d") permit ({COMPUTE});', r"^policy:1:10: @quota is a duty .* release alone"),
        (f'@id("a") @treat("round") permit ({RELEASE});', r"^policy:1:10: @treat says what becomes of a table"),
        (f'@id("a")\n  @treat("refused") permit ({RELEASE});', r"^policy:2:3: @treat says what becomes of a table"),
        (f'@id("a") @treat("round 1") permit ({RELEASE});', r"^policy:1:10: @treat\(\"round 1\"\) rounds nothing"),
        (f'@id("a") @treat("refuse") permit ({COMPUTE});', r"^policy:1:10: @treat is a duty .* release alone"),
        (f'@id("a") @treet("refuse") permit ({RELEASE});', r"^policy:1:10: the annotation @treet is not known"),
        (f'@id("a") @expires("2030-02-30") permit ({COMPUTE});', r"^policy:1:10: @expires is the last day"),
        (f'@id("a") @expires("31.1.2030") forbid ({COMPUTE});', r"^policy:1:10: @expires is the last day"),
        (f'@id("a") @endorsed("many") permit ({COMPUTE});', r"^policy:1:10: @endorsed counts"),
        (f'@id("a") @endorsed("0") permit ({COMPUTE});', r"^policy:1:10: @endorsed counts"),
        ('@id("a") @endorsed("2") permit (principal, action, resource);', r"^policy:1:10: .*compute and release alone"),
        (f'@id("a") @endorsed("2") forbid ({COMPUTE});', r"^policy:1:10: .*duty of permits"),
        ('@id("a") permit (principal == ?principal, action, resource);', r"^policy:1:31: .*template"),
        (f'@id("a") permit ({COMPUTE}) when {{ "abc }};', r"quotes that is not closed"),
        (f'@id("a") permit ({COMPUTE}) when {{ "\\q" == "a" }};', r"^policy:1:\d+: .*not a valid escape"),
        ('@id("a") permit (principal, action, resource);;', r"^policy:1:47: unexpected token `;`"),
        ('// \u202e\n@id("a") permit (principal, action, resource);', r"^policy:1:4: .*can hide what a rule says"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_rules(text, "policy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 2000 + "true" + ")" * 2000,
        "!(" * 33 + "true" + ")" * 33,
        "[" * 2000,
        "{a: " * 2000,
        "if true then " * 9000,
    ],
)
def test_text_that_would_overrun_the_parsers_stack_is_refused_before_it_is_parsed(condition: str) -> None:
    """Cedar 4.12 ends the whole process on some of these: a node could be killed by one policy entry."""
    with pytest.raises(BadInput, match="a rule of over 1000 words or 32 levels"):
        read_rules(f'@id("a") permit ({COMPUTE}) when {{ {condition} }};', "policy")


def test_nesting_split_by_semicolons_does_not_reach_the_parser_whole() -> None:
    with pytest.raises(BadInput, match="unexpected token"):
        read_rules('@id("a") permit (principal, action, resource) when { ' + ("(" * 30 + ";") * 100, "policy")


def test_a_rule_behind_a_carriage_return_in_a_comment_is_seen() -> None:
    """Cedar ends a comment at a carriage return; a reader who goes on to the line's end would miss a permit."""
    with pytest.raises(BadInput, match="a rule needs a name"):
        read_rules("// only a remark\rpermit (principal, action, resource);", "policy")


def test_size_is_bounded() -> None:
    with pytest.raises(BadInput, match="at most 262,144"):
        read_rules(" " * (MAX_TEXT + 1), "policy")
    with pytest.raises(BadInput, match="over 2,000 rules"):
        read_rules(";" * (MAX_RULES + 1), "policy")


def test_rules_keep_their_order_beyond_ten() -> None:
    """A rule's name is found by its place: if Cedar counted otherwise, a denial would name the wrong rule."""
    text = "\n".join(f'@id("r{number}") forbid ({COMPUTE}); // ; "' for number in range(25))
    assert [rule.id for rule in read_rules(text, "policy")] == [f"r{number}" for number in range(25)]


def test_what_is_read_of_a_rule() -> None:
    text = (
        '@id("a") @endorsed("2") permit (principal, action in [Action::"compute", Action::"release"], resource)'
        ' when { context.granted } unless { context["runner"] == "docker" || !context.fresh };'
        '@id("b") forbid (principal, action, resource);'
    )
    actions = frozenset[Action]({"see", "fetch", "compute", "release", "report"})
    assert read_rules(text, "policy") == (
        Rule(
            "a",
            "permit",
            frozenset({"compute", "release"}),
            frozenset({"context.granted", "context.runner", "context.fresh"}),
            Duties(endorsed=2),
        ),
        Rule("b", "forbid", actions, frozenset()),
    )
    duties = (
        '@id("c") @expires("2030-01-31") @approve("2 stewards") @min_cell("10") @quota("5 rows/30d") @treat("round 5")'
        f" permit ({RELEASE});"
    )
    assert read_rules(duties, "policy") == (
        Rule(
            "c",
            "permit",
            frozenset({"release"}),
            frozenset(),
            Duties(approvals=2, min_cell=10, rounded=5, quotas=(Quota(rows=5, days=30),)),
            "2030-01-31",
        ),
    )
    assert read_rules("  // nothing\n", "policy") == ()
