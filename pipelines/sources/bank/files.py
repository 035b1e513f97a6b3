"""One door for all formats: the file's beginning tells which it is."""

from typing import Literal

from pipelines.core.errors import SourceError
from pipelines.sources.bank.camt053 import parse_camt053
from pipelines.sources.bank.csv_lines import CsvMapping, parse_csv
from pipelines.sources.bank.lines import BankStatement
from pipelines.sources.bank.mt940 import parse_mt940

FileFormat = Literal["camt053", "mt940", "csv"]

MAX_BYTES = 200 * 1024 * 1024


def file_format(content: bytes) -> FileFormat:
    """What the file is, by how it begins."""
    start = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "camt053"
    if start.startswith((b":20:", b"{1:")) or b"\n:20:" in start.replace(b"\r", b""):
        return "mt940"
    return "csv"


def read_statements(content: bytes, *, name: str, mapping: CsvMapping | None = None) -> list[BankStatement]:
    """Every statement of a file. Raises SourceError: a CSV without a mapping, a file that is broken."""
    if len(content) > MAX_BYTES:
        raise SourceError(f"The file is larger than {MAX_BYTES // 1024**2} MiB.", fix="export shorter periods")
    found = file_format(content)
    if found == "camt053":
        return parse_camt053(content)
    if found == "mt940":
        return parse_mt940(content)
    if mapping is None:
        raise SourceError(
            "The file is read as CSV, and a CSV needs a mapping.", fix="psp bank load FILE --mapping MAPPING.toml"
        )
    return parse_csv(content, mapping, name=name)
