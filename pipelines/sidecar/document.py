"""The OpenAPI document, as the sidecar really answers. Kept in docs/openapi.json, which a test compares with this."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

METHODS = ("get", "post")


def install_document(app: FastAPI) -> None:
    """Make `app` describe itself without what its framework adds and it never says: a wrong parameter is 400 here."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for operations in found["paths"].values():
                for method in METHODS:
                    operations.get(method, {}).get("responses", {}).pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                found["components"]["schemas"].pop(name, None)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to have another document
