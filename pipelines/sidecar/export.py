"""Exports as files, for the command line and for whatever else is no web request. See extract.py for the rows."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psycopg
from pydantic import ValidationError

from pipelines.core.errors import DatabaseError, PlatformError, SettingsError
from pipelines.core.settings import Settings
from pipelines.sidecar.datasets import DATASETS, What
from pipelines.sidecar.extract import Export, Format, Outcome, Progress, Report
from pipelines.sidecar.filters import Filters


def export_rows(
    settings: Settings,
    what: What,
    filters: Filters | Mapping[str, object],
    fmt: Format,
    target: Path | IO[bytes],
    *,
    actor: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Export to a file, or to an open binary stream. A file appears whole or not at all, with a cover note.

    `filters` may be names and values as a person types them. Raises SettingsError for a wrong filter or a target that
    cannot be written, DatabaseError when the database is down or has no marts yet.
    """
    export = _opened(settings, what, _validated(what, filters), fmt, actor or f"cli:{_user()}")
    outcome: Outcome = "failed"
    try:
        if isinstance(target, Path):
            _write_file(export, target, progress)
        else:
            for chunk in export.chunks(progress):
                target.write(chunk)
        outcome = "completed"
    except KeyboardInterrupt:
        outcome = "cancelled"
        raise
    except psycopg.Error as error:
        raise _told(error) from error
    except OSError as error:
        raise SettingsError(f"The export cannot be written ({error.strerror}).", fix="name another file") from error
    finally:
        export.close(outcome)
    return export.report()


def cover_path(target: Path) -> Path:
    """Where the cover note of an export lies whose file has none inside."""
    return target.with_name(f"{target.name}.cover.txt")


def _write_file(export: Export, target: Path, progress: Progress | None) -> None:
    unfinished = target.with_name(f".{target.name}.{export.id.hex[:8]}.part")
    try:
        with unfinished.open("wb") as file:
            for chunk in export.chunks(progress):
                file.write(chunk)
        if export.format != "xlsx":
            text = "".join(f"{name}: {value}\n" for name, value in export.report().cover)
            cover_path(target).write_text(text, encoding="utf-8")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _validated(what: What, filters: Filters | Mapping[str, object]) -> Filters:
    expected = DATASETS[what].filters
    if isinstance(filters, Filters):
        return filters
    try:
        return expected.model_validate(dict(filters))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "filters"
        raise SettingsError(
            f"{name}: {first['msg']}.", fix=f"filters of {what} are {', '.join(expected.conditions)}"
        ) from None


def _opened(settings: Settings, what: What, filters: Filters, fmt: Format, actor: str) -> Export:
    try:
        return Export(settings, what, filters, fmt, actor=actor)
    except psycopg.Error as error:
        raise _told(error) from error


def _told(error: psycopg.Error) -> PlatformError:
    """A failure of the database, for a person at the command line."""
    if isinstance(error, psycopg.ProgrammingError):
        return DatabaseError("The marts are not there yet.", fix="run `psp up` or `psp sync all` once")
    return DatabaseError("PostgreSQL went away in the middle of the export.", fix="run `psp doctor`, then export again")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
