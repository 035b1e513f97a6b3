"""Template tags and field filters become the statement that Metabase would send."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import DashboardError
from pipelines.dashboards.entities import Card, Field, Tag
from pipelines.dashboards.templates import render

TODAY = date(2026, 1, 15)


def dimension(name: str, widget: str, **more: Any) -> Tag:
    field = Field(database="d", schema="marts", table="fct_payments", column=name)
    return Tag(name=name, id=name, type="dimension", display_name=name, widget_type=widget, field=field, **more)


def variable(name: str, kind: str, **more: Any) -> Tag:
    return Tag(name=name, id=name, type=kind, display_name=name, **more)


def card(sql: str, *tags: Tag) -> Card:
    return Card(
        path=Path("a.yaml"),
        entity_id="x",
        name="A card",
        description="",
        display="table",
        collection_id=None,
        database="d",
        sql=sql,
        tags={tag.name: tag for tag in tags},
        settings={},
    )


def test_an_empty_field_filter_filters_nothing() -> None:
    found = render(card("select 1 where {{project}}", dimension("project", "string/=")), {}, TODAY)
    assert (found.text, found.parameters) == ("select 1 where 1 = 1", {})
    same = render(card("select 1 where {{ project }}", dimension("project", "string/=")), {"project": [""]}, TODAY)
    assert same.text == found.text


def test_a_field_filter_names_its_column_in_full_and_sends_values_apart() -> None:
    one = render(card("where {{project}}", dimension("project", "string/=")), {"project": ["a'; --"]}, TODAY)
    assert (one.text, one.parameters) == ('where "marts"."fct_payments"."project" = %(p0)s', {"p0": "a'; --"})
    two = render(card("where {{project}}", dimension("project", "string/=")), {"project": ["a", "b"]}, TODAY)
    assert two.text == 'where "marts"."fct_payments"."project" in (%(p0)s, %(p1)s)'
    aliased = dimension("project", "string/=", alias="p.project")
    assert render(card("where {{project}}", aliased), {"project": ["a"]}, TODAY).text == "where p.project = %(p0)s"


def test_a_date_filter_is_a_range_with_its_last_day_included() -> None:
    period = dimension("business_date", "date/all-options")
    found = render(card("where {{business_date}}", period), {"business_date": ["past7days~"]}, TODAY)
    column = '"marts"."fct_payments"."business_date"'
    assert found.text == f"where ({column} >= %(p0)s::date and {column} < %(p1)s::date + 1)"
    assert found.parameters == {"p0": date(2026, 1, 8), "p1": date(2026, 1, 15)}
    with pytest.raises(DashboardError, match="one value"):
        render(card("where {{business_date}}", period), {"business_date": ["today", "yesterday"]}, TODAY)


def test_an_optional_part_is_there_only_with_its_value() -> None:
    asked = card("select 100 % 7 [[where amount > {{least}}]]", variable("least", "number"))
    assert render(asked, {}, TODAY).text == "select 100 %% 7 "
    found = render(asked, {"least": ["12.50"]}, TODAY)
    assert found.text == "select 100 %% 7 where amount > %(p0)s"
    assert str(found.parameters["p0"]) == "12.50"


def test_an_optional_part_may_hold_a_field_filter() -> None:
    asked = card("where true [[and {{project}}]]", dimension("project", "string/="))
    assert render(asked, {}, TODAY).text == "where true "
    assert "in (" in render(asked, {"project": ["a", "b"]}, TODAY).text


def test_a_value_that_must_be_there_is_asked_for() -> None:
    with pytest.raises(DashboardError, match="least needs a value"):
        render(card("where amount > {{least}}", variable("least", "number")), {}, TODAY)
    required = variable("least", "number", required=True, default=5)
    assert render(card("where amount > {{least}}", required), {}, TODAY).parameters == {"p0": 5}


@pytest.mark.parametrize(
    ("widget", "values", "expected"),
    [
        ("string/contains", ["100%"], "(position(lower(%(p0)s) in lower({c})) > 0)"),
        (
            "string/starts-with",
            ["a", "b"],
            "(starts_with(lower({c}), lower(%(p0)s)) or starts_with(lower({c}), lower(%(p1)s)))",
        ),
        ("string/!=", ["a"], "({c} is null or ({c} <> %(p0)s))"),
        ("number/=", ["1", "2"], "{c} in (%(p0)s, %(p1)s)"),
        ("number/between", ["1", "2"], "{c} between %(p0)s and %(p1)s"),
        ("number/>=", ["1"], "({c} >= %(p0)s)"),
    ],
)
def test_operators(widget: str, values: list[str], expected: str) -> None:
    found = render(card("{{x}}", dimension("x", widget)), {"x": values}, TODAY)
    assert found.text == expected.format(c='"marts"."fct_payments"."x"')


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("where {{unknown}}", {}),
        ("where true [[and {{project}}", {}),
        ("where true ]] [[", {}),
        ("where [[ a [[ b ]] ]]", {}),
        ("where {{project}}", {"other": ["a"]}),
        ("where {{amount}}", {"amount": ["NaN"]}),
        ("where {{amount}}", {"amount": ["12,5"]}),
    ],
)
def test_slips_are_told(sql: str, values: dict[str, list[str]]) -> None:
    with pytest.raises(DashboardError):
        render(card(sql, dimension("project", "string/="), dimension("amount", "number/=")), values, TODAY)
