"""Exact money: major units as Decimal, minor units as int, exponents from the one reviewed seed (ISO 4217)."""

import csv
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

CURRENCIES_SEED = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds" / "currencies.csv"


@cache
def minor_unit_exponents() -> dict[str, int]:
    """Currency code to the number of decimals of its minor unit, read once."""
    with CURRENCIES_SEED.open(encoding="utf-8", newline="") as file:
        return {row["currency"]: int(row["minor_unit_exponent"]) for row in csv.DictReader(file)}


def parse_amount(value: object) -> Decimal:
    """An amount as the sources write it (JSON number or numeric text). Raises ValueError on anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"not an amount: a {type(value).__name__}")
    try:
        amount = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise ValueError("not an amount: text that is no number") from None
    if not amount.is_finite() or amount.adjusted() > 25 or amount.adjusted() < -25:
        raise ValueError("not an amount: out of any sensible range")
    return amount


def to_minor(amount: Decimal, currency: str) -> int:
    """Whole minor units of `amount` in major units.

    Raises ValueError when it is not exact, KeyError when the currency is not in the seed (its exponent is not guessed).
    """
    scaled = amount.scaleb(minor_unit_exponents()[currency])
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} is not exact in minor units of {currency}")
    return int(scaled)


def to_major(minor: int, currency: str) -> Decimal:
    """Major units of a whole number of minor units. Raises KeyError for an unknown currency."""
    return Decimal(minor).scaleb(-minor_unit_exponents()[currency])
