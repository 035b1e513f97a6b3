"""The parsed dbt project, kept on disk and parsed again only when a file of it changes. Usable without Dagster.

    dbt_project/** -> `dbt parse`, in process, no database -> PSP_HOME/dbt/parsed/<fingerprint>/
                                                               manifest.json          what Dagster reads
                                                               partial_parse.msgpack  what dbt itself takes back
                                                               run.msgpack            the same, less what no run needs

A parse costs seconds, taking the kept form back 0.2 s, and what a run needs of it a third of that. A manifest holds the
database's name: it is parsed for one name and pointed at the database in use when it is read, so a project is parsed
once, wherever its data are. `vars` do not matter: a manifest handed to dbt is never parsed again, whatever the vars of
the run.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.core.errors import DatabaseError, ModelError
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs.model.dbt_runner import dbt_runner

PROJECT = PROJECT_ROOT / "dbt_project"
SOURCE_SUFFIXES = frozenset({".sql", ".yml", ".yaml", ".csv", ".md"})
BUILT_FOLDERS = frozenset({"target", "logs", "dbt_packages"})
KEPT_PARSES = 3
DEFAULT_DATABASE = "psp"
PARSED_BY_DBT, FOR_RUNS = "partial_parse.msgpack", "run.msgpack"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedProject:
    """Where the parsed project lies, the fingerprint of what it was parsed from, and the database that it is for."""

    folder: Path
    fingerprint: str
    database: str

    def as_json(self) -> Mapping[str, Any]:
        """The manifest as dbt documents it, for Dagster."""
        return _load_json(self.folder / "manifest.json", self.database)

    def as_manifest(self, *, unit_tests: bool = False) -> Any:
        """dbt's own manifest object. New each time, because dbt writes into it while it runs."""
        manifest = _stored_manifest(self.folder / (PARSED_BY_DBT if unit_tests else FOR_RUNS))
        for relation in (*manifest.nodes.values(), *manifest.sources.values()):
            relation.database = self.database
            relation.relation_name = _pointed(relation.relation_name, self.database)
        return manifest


def parsed_project(settings: Settings) -> ParsedProject:
    """The project as it is now, parsed if it was not yet. Needs no database. Raises ModelError with dbt's reason."""
    fingerprint = _fingerprint()
    home = settings.psp_home / "dbt" / "parsed"
    found = ParsedProject(folder=home / fingerprint, fingerprint=fingerprint, database=_database_name(settings))
    if not (found.folder / FOR_RUNS).exists():
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (found.folder / FOR_RUNS).exists():
                _parse(found.folder)
                _forget_old_parses(home)
    return found


def content_fingerprint(settings: Settings) -> str:
    """Stands for everything that decides what the models hold, given the raw log; descriptions and tests do not."""
    digest = hashlib.blake2b(settings.psp_business_timezone.encode(), digest_size=12)
    for path in sorted(_sources()):
        relative = path.relative_to(PROJECT)
        if relative.parts[0] != "tests" and (path.suffix in {".sql", ".csv"} or relative.name == "dbt_project.yml"):
            digest.update(f"\0{relative}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def project_flags() -> list[str]:
    """dbt flags of every invocation: where the project is; nothing is written into it, nothing phones home."""
    return [
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(PROJECT),
        "--no-send-anonymous-usage-stats",
        "--log-level",
        "none",
        "--log-level-file",
        "none",
        "--no-use-colors",
    ]


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """`values` in the process environment for the length of the block: dbt's profile and libpq read them there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _database_name(settings: Settings) -> str:
    try:
        return urlsplit(database_url(settings)).path.lstrip("/") or DEFAULT_DATABASE
    except DatabaseError:
        return DEFAULT_DATABASE  # nothing has been started yet, as in `dagster definitions validate`


def _fingerprint() -> str:
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{version('dbt-core')}\0{version('dbt-postgres')}\0{PROJECT}".encode())
    for path in sorted(_sources()):
        digest.update(f"\0{path.relative_to(PROJECT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for entry in PROJECT.iterdir():
        if entry.name in BUILT_FOLDERS:
            continue
        candidates = entry.rglob("*") if entry.is_dir() else [entry]
        yield from (path for path in candidates if path.suffix in SOURCE_SUFFIXES and path.is_file())


def _parse(folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    flags = [*project_flags(), "--target-path", str(unfinished), "--log-path", str(unfinished)]
    with environment({"DBT_PSP_DBNAME": DEFAULT_DATABASE}):
        outcome = dbt_runner().invoke(["parse", *flags])
    if not outcome.success:
        shutil.rmtree(unfinished, ignore_errors=True)
        reason = redact(str(outcome.exception or "dbt gave no reason")).strip()
        raise ModelError(
            f"The dbt project cannot be parsed: {' '.join(reason.split())[:500]}",
            fix="correct the file that is named; `dbt parse` in dbt_project shows all of it",
        )
    _keep_for_runs(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _keep_for_runs(folder: Path) -> None:
    """Unit tests judge the code, in CI, and the texts of files serve to parse them again: runs do without both."""
    manifest = _stored_manifest(folder / PARSED_BY_DBT)
    manifest.unit_tests, manifest.files = {}, {}
    (folder / FOR_RUNS).write_bytes(manifest.to_msgpack())


def _stored_manifest(path: Path) -> Any:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    return Manifest.from_msgpack(path.read_bytes(), decoder=extended_mashumuro_decoder)


def _forget_old_parses(home: Path) -> None:
    parses = sorted((path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in parses[:-KEPT_PARSES]:
        shutil.rmtree(path, ignore_errors=True)


def _pointed(relation_name: str | None, database: str) -> str | None:
    parsed_for = f'"{DEFAULT_DATABASE}".'
    if relation_name is None or not relation_name.startswith(parsed_for):
        return relation_name
    return f'"{database}".{relation_name.removeprefix(parsed_for)}'


@lru_cache(maxsize=2)
def _load_json(path: Path, database: str) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for relation in (*loaded["nodes"].values(), *loaded["sources"].values()):
        relation["database"] = database
        relation["relation_name"] = _pointed(relation["relation_name"], database)
    return loaded
