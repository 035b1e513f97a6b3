"""Money is exact or refused: never rounded, never guessed, never through a float."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.money import minor_unit_exponents, parse_amount, to_major, to_minor

CURRENCIES = sorted(minor_unit_exponents())


@given(minor=st.integers(-(10**18), 10**18), currency=st.sampled_from(CURRENCIES))
def test_minor_units_survive_the_way_to_major_units_and_back(minor: int, currency: str) -> None:
    assert to_minor(to_major(minor, currency), currency) == minor


@given(minor=st.integers(-(10**18), 10**18), currency=st.sampled_from(CURRENCIES))
def test_text_and_number_of_one_amount_are_the_same_amount(minor: int, currency: str) -> None:
    major = to_major(minor, currency)
    assert parse_amount(f"{major:f}") == parse_amount(major) == major


@given(digits=st.integers(1, 10**9), places=st.integers(3, 29))
def test_a_fraction_of_a_minor_unit_is_never_rounded_away(digits: int, places: int) -> None:
    amount = parse_amount(f"{digits}.{'1':0>{places}}")
    with pytest.raises(ValueError, match="not exact in minor units of INR"):
        to_minor(amount, "INR")


@pytest.mark.parametrize(
    ("given_value", "amount"),
    [
        ("100", "100"),
        (" 100.50 ", "100.50"),
        ("-0.5", "-0.5"),
        ("+7", "7"),
        ("1e3", "1000"),
        (100, "100"),
        (Decimal("100.00000000"), "100"),
        ("0.00", "0"),
    ],
)
def test_amounts_as_the_sources_write_them(given_value: object, amount: str) -> None:
    assert parse_amount(given_value) == Decimal(amount)


@pytest.mark.parametrize(
    "given_value",
    [
        "",
        " ",
        "abc",
        "1_000",  # Decimal() would take it
        "١٢",  # and Arabic digits
        "1,000",
        "1.000.000",
        ".5",
        "5.",
        "0x10",
        "NaN",
        "Infinity",
        "1e400",
        "1 000",
        "100 INR",
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1e30"),
        Decimal("1e-30"),
        Decimal("0.12345678901234567890123456789012345678901"),
        10**40,
        True,
        None,
        1.5,
        [],
        {},
    ],
)
def test_whatever_is_no_amount_is_refused(given_value: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        parse_amount(given_value)


def test_the_exponent_comes_from_the_currency() -> None:
    assert to_minor(Decimal("12.34"), "INR") == 1234
    assert to_minor(Decimal("12"), "JPY") == 12
    with pytest.raises(ValueError, match="JPY"):
        to_minor(Decimal("12.5"), "JPY")


def test_an_unknown_currency_has_no_guessed_exponent() -> None:
    with pytest.raises(KeyError):
        to_minor(Decimal(1), "XXQ")
