"""`psp metabase run` becomes the Java that it was given, with what docker-compose.yml gives Metabase.

A script stands in for Java: it tells a version, and writes down how it was called.
"""

from pathlib import Path

import psycopg
import pytest
import yaml

from pipelines.commands.metabase import find_jar, find_java
from pipelines.core.errors import DashboardError
from tests.conftest import on_database
from tests.integration.cli.conftest import ROOT, run_psp
from tests.sandbox import free_port

STAND_IN = """#!/bin/sh
if [ "$1" = "-version" ]; then echo 'openjdk version "{version}" 2025-10-21' >&2; exit 0; fi
env > "{folder}/environment"
printf '%s\\n' "$@" > "{folder}/arguments"
pwd > "{folder}/place"
exit 7
"""


def make_java(folder: Path, version: str = "25.0.1") -> Path:
    java = folder / "java"
    java.write_text(STAND_IN.format(version=version, folder=folder))
    java.chmod(0o755)
    return java


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "metabase.jar"
    path.write_bytes(b"PK\x03\x04")
    return path


def test_it_becomes_java_with_the_settings_of_the_compose_file(
    home: Path, tmp_path: Path, warehouse: str, jar: Path
) -> None:
    environment = {
        "PSP_HOME": str(home),
        "PSP_DATABASE_URL": warehouse,
        "METABASE_API_KEY": "not-for-metabase",
        "MB_SITE_NAME": "Ours",
    }
    java, port = make_java(tmp_path), free_port()
    told = []
    try:
        for _ in range(2):
            arguments = ("--jar", str(jar), "--java", str(java), "--port", str(port), "--memory", "1500m")
            answer = run_psp("metabase", "run", *arguments, environment=environment)
            assert answer.code == 7, answer.err
            assert f"METABASE_URL=http://127.0.0.1:{port} psp dashboards apply" in answer.out + answer.err
            lines = (tmp_path / "environment").read_text().splitlines()
            told.append(dict(line.split("=", 1) for line in lines if "=" in line))
    finally:
        with psycopg.connect(on_database(warehouse, "postgres"), autocommit=True) as connection:
            found = connection.execute("select 1 from pg_database where datname = 'metabase'").fetchone()
            connection.execute("drop database if exists metabase")
    assert found, "Metabase's own database was not made"
    assert (tmp_path / "arguments").read_text().split() == ["-Xmx1500m", "-jar", str(jar)]
    assert (tmp_path / "place").read_text().strip() == str(home / "metabase")
    first, second = told
    assert first["MB_ENCRYPTION_SECRET_KEY"] == second["MB_ENCRYPTION_SECRET_KEY"]
    assert (home / "metabase-server.json").stat().st_mode & 0o077 == 0
    assert (first["MB_JETTY_HOST"], first["MB_JETTY_PORT"]) == ("127.0.0.1", str(port))
    assert first["MB_SITE_NAME"] == "Ours"
    assert not [name for name in first if name.startswith(("METABASE_", "PSP_"))]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["metabase"]["environment"]
    where = {"MB_DB_HOST", "MB_DB_PORT", "MB_DB_USER"}
    for name, value in compose.items():
        plain = name.removesuffix("_FILE")
        if plain.startswith("MB_"):
            assert first[plain] if name != plain or plain in where else first[plain] == value, name


@pytest.mark.parametrize(
    ("version", "words"),
    [("17.0.9", "Java 17"), ("1.8.0_402", "too old")],
)
def test_a_java_that_is_too_old_is_refused(tmp_path: Path, version: str, words: str) -> None:
    with pytest.raises(DashboardError, match=words) as refused:
        find_java(str(make_java(tmp_path, version)))
    assert "Java 21" in refused.value.fix


def test_what_is_no_java_and_what_is_no_jar_is_named(home: Path, tmp_path: Path, jar: Path) -> None:
    with pytest.raises(DashboardError, match="no Java called no-such-java"):
        find_java("no-such-java")
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    with pytest.raises(DashboardError, match="does not tell its version"):
        find_java(str(silent))
    with pytest.raises(DashboardError, match=r"no-such\.jar cannot be read"):
        find_jar(tmp_path / "no-such.jar")
    with pytest.raises(DashboardError, match="is no jar"):
        find_jar(silent)
    answer = run_psp(
        *("metabase", "run", "--jar", str(jar), "--java", str(make_java(tmp_path))), environment={"PSP_HOME": str(home)}
    )
    answer.assert_one_error("needs a database", "psp up")
    assert not (tmp_path / "arguments").exists()
