"""camt.053, the ISO 20022 end-of-day statement, versions 001.02 to 001.13: the elements used here are alike in all.

    Document / BkToCstmrStmt / Stmt+ (Acct, Bal*, Ntry*)  ->  BankStatement+

defusedxml opens the file, so that neither entities nor DTDs of a hostile one do harm. Only booked entries count
(Sts BOOK); a reversal (RvslInd) has its direction in CdtDbtInd already. An entry with several transactions (TxDtls)
that state their amounts becomes a line per transaction when these add up to the entry, else it stays one line.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipelines.core.errors import SourceContractError
from pipelines.core.money import parse_amount
from pipelines.sources.bank.lines import FIX, BankLine, BankStatement, checked, clean

NAMESPACE = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.\d{2}\}Document")
SIGNS = {"CRDT": 1, "DBIT": -1}
REFERENCES = ("Refs/EndToEndId", "Refs/TxId", "Refs/AcctSvcrRef", "Refs/InstrId")
NO_REFERENCE = frozenset({"NOTPROVIDED", "NONREF", ""})


def parse_camt053(content: bytes) -> list[BankStatement]:
    """Every statement of the file. Raises SourceContractError."""
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise SourceContractError("The file is not the XML of a camt.053 statement.", fix=FIX) from None
    if not NAMESPACE.fullmatch(root.tag):
        raise SourceContractError("The XML is no camt.053 document.", fix="export the account as camt.053") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    statements = [_statement(element) for element in root.findall("BkToCstmrStmt/Stmt")]
    if not statements:
        raise SourceContractError("The camt.053 document holds no statement.", fix=FIX)
    return statements


def _statement(element: Element) -> BankStatement:
    name = clean(element.findtext("Id"))
    account = clean(element.findtext("Acct/Id/IBAN") or element.findtext("Acct/Id/Othr/Id"))
    currency = clean(element.findtext("Acct/Ccy")) or _first_currency(element)
    if not account or not currency:
        raise _broken(name, "it names no account or no currency")
    balances = {clean(found.findtext("Tp/CdOrPrtry/Cd")): _signed(found, name) for found in element.findall("Bal")}
    lines = [line for entry in element.findall("Ntry") for line in _lines(entry, account, name)]
    return checked(
        BankStatement(
            account=account,
            currency=currency,
            name=name,
            first_day=_day_of(element.findtext("FrToDt/FrDtTm"), name),
            last_day=_day_of(element.findtext("FrToDt/ToDtTm"), name),
            opening_balance=balances.get("OPBD", balances.get("PRCD")),
            closing_balance=balances.get("CLBD"),
            lines=lines,
        )
    )


def _lines(entry: Element, account: str, name: str) -> Iterator[BankLine]:
    status = clean(entry.findtext("Sts/Cd") or entry.findtext("Sts"))
    if status != "BOOK":
        return
    amount, currency = _signed(entry, name), _currency(entry, name)
    booked_on = _day(entry.find("BookgDt"), name)
    value_date = _day(entry.find("ValDt"), name) or booked_on
    if value_date is None:
        raise _broken(name, "an entry has no date")
    said = clean(entry.findtext("AddtlNtryInf"))
    whole = clean(entry.findtext("AcctSvcrRef") or entry.findtext("NtryRef")) or None
    details = entry.findall("NtryDtls/TxDtls")
    parts = [_part(detail, entry, name) for detail in details]
    if len(details) < 2 or None in parts or sum((part for part in parts if part), Decimal(0)) != amount:
        details, parts = [details[0] if len(details) == 1 else entry], [amount]
    for detail, part in zip(details, parts, strict=True):
        yield BankLine(
            account=account,
            currency=currency,
            value_date=value_date,
            booked_on=booked_on or value_date,
            amount=part or Decimal(0),
            reference=_reference(detail) or whole,
            narration=clean(" ".join((*_written(detail), *_all_references(detail), said))),
        )


def _part(detail: Element, entry: Element, name: str) -> Decimal | None:
    """The signed amount of one transaction of an entry, None when it states none of its own."""
    amount = detail.find("Amt")
    if amount is None:
        amount = detail.find("AmtDtls/TxAmt/Amt")
    if amount is None or amount.get("Ccy") != _currency(entry, name):
        return None
    sign = detail.findtext("CdtDbtInd") or entry.findtext("CdtDbtInd")
    return _amount(amount, name) * _sign(sign, name)


def _signed(element: Element, name: str) -> Decimal:
    return _amount(element.find("Amt"), name) * _sign(element.findtext("CdtDbtInd"), name)


def _amount(element: Element | None, name: str) -> Decimal:
    try:
        found = parse_amount(clean(element.text if element is not None else None))
    except ValueError:
        raise _broken(name, "an amount is no number") from None
    if found < 0:
        raise _broken(name, "an amount is negative, which camt.053 does not know")
    return found


def _sign(word: str | None, name: str) -> int:
    try:
        return SIGNS[clean(word)]
    except KeyError:
        raise _broken(name, "an entry is neither credit nor debit") from None


def _currency(entry: Element, name: str) -> str:
    amount = entry.find("Amt")
    currency = clean(amount.get("Ccy")) if amount is not None else ""
    if not currency:
        raise _broken(name, "an amount has no currency")
    return currency


def _first_currency(element: Element) -> str:
    amount = element.find(".//Amt")
    return clean(amount.get("Ccy")) if amount is not None else ""


def _reference(detail: Element) -> str | None:
    return next((found for path in REFERENCES if (found := clean(detail.findtext(path))) not in NO_REFERENCE), None)


def _all_references(detail: Element) -> list[str]:
    found = (clean(detail.findtext(path)) for path in REFERENCES)
    return [text for text in found if text not in NO_REFERENCE]


def _written(detail: Element) -> Iterator[str]:
    for path in ("RmtInf/Ustrd", "RmtInf/Strd/CdtrRefInf/Ref", "AddtlTxInf"):
        for element in detail.findall(path):
            yield clean(element.text)


def _day(element: Element | None, name: str) -> date | None:
    if element is None:
        return None
    return _day_of(element.findtext("Dt") or element.findtext("DtTm"), name)


def _day_of(text: str | None, name: str) -> date | None:
    if text is None:
        return None
    written = clean(text)
    try:
        return date.fromisoformat(written) if len(written) == 10 else datetime.fromisoformat(written).date()
    except ValueError:
        raise _broken(name, "a date cannot be read") from None


def _broken(name: str, what: str) -> SourceContractError:
    return SourceContractError(f"The statement {name!r} cannot be used: {what}.", fix=FIX)
