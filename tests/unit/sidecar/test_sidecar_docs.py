"""What the sidecar offers is in its documentation."""

import subprocess
import sys

from pipelines.core.settings import PROJECT_ROOT, load_settings
from pipelines.sidecar.app import create_app
from pipelines.sidecar.errors import CODES
from pipelines.sidecar.keys import SCOPES
from pipelines.sidecar.live import EVENTS

PAGE = (PROJECT_ROOT / "docs" / "sidecar.md").read_text(encoding="utf-8")


def test_every_endpoint_and_parameter_is_documented() -> None:
    for path, methods in create_app(load_settings({})).openapi()["paths"].items():
        for method, operation in methods.items():
            (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {method.upper()} `{path}`")]
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and "the same" not in line and "filters of the list" not in line:
                    assert parameter["name"] in line or path.endswith("/trends"), (path, parameter["name"])


def test_the_document_says_what_the_sidecar_says() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "docs" / "generate_openapi.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_event_scope_and_error_is_documented() -> None:
    for word in (*EVENTS, *SCOPES):
        assert f"`{word}`" in PAGE
    for status in CODES:
        assert CODES[status] in PAGE


def test_every_path_but_health_asks_for_a_key() -> None:
    for path, methods in create_app(load_settings({})).openapi()["paths"].items():
        for operation in methods.values():
            assert bool(operation.get("security")) is (path != "/api/v1/health"), path
