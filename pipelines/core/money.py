"""Exact money: major units as Decimal, minor units as int, exponents from the one reviewed seed (ISO 4217)."""

import csv
import re
from decimal import Context, Decimal, Inexact
from functools import cache
from pathlib import Path

CURRENCIES_SEED = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds" / "currencies.csv"

MAX_DIGITS = 40
MAX_MAGNITUDE = 25

# Decimal() itself would also take 1_000, Arabic digits and NaN. The models read the same numbers (macro exact_numeric).
_NUMERIC_TEXT = re.compile(r"[ \t\r\n]*[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?[ \t\r\n]*")
# The default context would round at 28 digits, and a rounded amount can look whole.
_EXACT = Context(prec=2 * MAX_DIGITS, traps=[Inexact])


@cache
def minor_unit_exponents() -> dict[str, int]:
    """Currency code to the number of decimals of its minor unit, read once."""
    with CURRENCIES_SEED.open(encoding="utf-8", newline="") as file:
        return {row["currency"]: int(row["minor_unit_exponent"]) for row in csv.DictReader(file)}


def parse_amount(value: object) -> Decimal:
    """An amount as the sources write it (JSON number or numeric text). Raises ValueError on anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"not an amount: a {type(value).__name__}")
    if isinstance(value, str) and not _NUMERIC_TEXT.fullmatch(value):
        raise ValueError("not an amount: text that is no number")
    amount = Decimal(value.strip() if isinstance(value, str) else value)
    if not amount.is_finite() or abs(amount.adjusted()) > MAX_MAGNITUDE or len(amount.as_tuple().digits) > MAX_DIGITS:
        raise ValueError("not an amount: out of any sensible range")
    return amount


def to_minor(amount: Decimal, currency: str) -> int:
    """Whole minor units of `amount` in major units.

    Raises ValueError when it is not exact, KeyError when the currency is not in the seed (its exponent is not guessed).
    """
    scaled = amount.scaleb(minor_unit_exponents()[currency], context=_EXACT)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"not exact in minor units of {currency}")
    return int(scaled)


def to_major(minor: int, currency: str) -> Decimal:
    """Major units of a whole number of minor units. Raises KeyError for an unknown currency."""
    return Decimal(minor).scaleb(-minor_unit_exponents()[currency], context=_EXACT)
