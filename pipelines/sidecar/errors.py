"""Failures as the contract words them: {"error": {"code", "message", "details"}}, without SQL, stack or secret.

ApiError            an answer other than success; raised anywhere below a route
├── Unauthorized    401, no key or not a good one
├── Forbidden       403, the key lacks the scope
├── NotFound        404
├── Invalid         400, a parameter is wrong
├── Conflict        409, the same is being done, or somebody was faster
├── TooManyRequests 429, with Retry-After
├── Upstream        502, Dagster does not answer as it should
└── Unavailable     503, the database is down or has no marts yet, with Retry-After

Errors of PostgreSQL become one of these here and nowhere else.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolClosed, PoolTimeout
from starlette.exceptions import HTTPException

from pipelines.core.errors import DatabaseError, PlatformError
from pipelines.core.redaction import redact
from pipelines.sidecar.answers import JSON, encode

logger = logging.getLogger("pipelines.sidecar")

CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    429: "RATE_LIMIT_EXCEEDED",
    502: "UPSTREAM_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
INTERNAL = "INTERNAL_ERROR"


class ApiError(Exception):
    """An answer other than success. The message is read by the caller: what happened, and what to do."""

    status = 500

    def __init__(
        self, message: str, *, details: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class Unauthorized(ApiError):
    """No key, or not a good one."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """The key is good, but lacks the scope."""

    status = 403


class NotFound(ApiError):
    """There is no such thing."""

    status = 404


class Invalid(ApiError):
    """A parameter is wrong; `field` names it."""

    status = 400

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}.", details={"fields": [{"field": field, "problem": problem}]})


class Conflict(ApiError):
    """What is asked for is being done already, or no longer fits what is there."""

    status = 409


class Upstream(ApiError):
    """Dagster does not answer as it should."""

    status = 502


class TooManyRequests(ApiError):
    """The caller asks more often than it may."""

    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(
            message,
            details={"retry_after_seconds": retry_after_seconds},
            headers={"Retry-After": str(retry_after_seconds)},
        )


class Unavailable(ApiError):
    """The sidecar runs, but what it stands on does not."""

    status = 503

    def __init__(
        self, message: str, *, details: Mapping[str, object] | None = None, retry_after_seconds: int = 5
    ) -> None:
        super().__init__(message, details=details, headers={"Retry-After": str(retry_after_seconds)})


def translate(error: Exception) -> ApiError:
    """What went wrong below a route, as an answer. What nobody expected becomes a plain 500 and a line in the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Unavailable("The question took too long. Ask for fewer days or add a filter.")
    if isinstance(
        error,
        psycopg.errors.UndefinedTable
        | psycopg.errors.UndefinedColumn
        | psycopg.errors.UndefinedFunction
        | psycopg.errors.InvalidSchemaName
        | psycopg.errors.InsufficientPrivilege
        | psycopg.errors.UndefinedObject,
    ):
        logger.warning("The warehouse is not ready: %s", error.diag.message_primary)
        return Unavailable("The marts are not there yet. They come with the first load: `psp up` or `psp sync all`.")
    if isinstance(error, DatabaseError | PoolTimeout | PoolClosed | psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable("The database cannot be reached. `psp doctor` tells why.")
    if isinstance(error, PlatformError):
        logger.error("%s", error)
        return Unavailable(error.message)
    logger.error("Unexpected %s: %s", type(error).__name__, redact(str(error)), exc_info=error)
    return ApiError("Something went wrong here. The log of the sidecar says what.")


def error_response(error: ApiError) -> Response:
    """The answer for `error`, in the shape of the contract."""
    body = {"code": CODES.get(error.status, INTERNAL), "message": error.message, "details": error.details}
    return Response(encode({"error": body}), status_code=error.status, media_type=JSON, headers=error.headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of `app`, also its framework's own, come out in the shape of the contract."""

    async def translated(request: Request, error: Exception) -> Response:
        return error_response(translate(error))

    async def invalid(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        # What was sent is left out: it may be secret.
        fields = [
            {"field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), "problem": _problem(item)}
            for item in error.errors()
        ]
        failure = ApiError(f"{fields[0]['field']}: {fields[0]['problem']}.", details={"fields": fields})
        failure.status = 400
        return error_response(failure)

    async def framework(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        failure = ApiError(_PLAIN.get(error.status_code, HTTPStatus(error.status_code).phrase), headers=error.headers)
        failure.status = error.status_code
        return error_response(failure)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    for kind in (ApiError, PlatformError, psycopg.Error, PoolTimeout, PoolClosed):
        app.add_exception_handler(kind, translated)
    app.add_exception_handler(Exception, translated)


def _problem(item: Mapping[str, Any]) -> str:
    """pydantic's word for a wrong parameter, as its caller would say it."""
    if item["type"] == "extra_forbidden":
        return "there is no such parameter here"
    return str(item["msg"]).removeprefix("Value error, ")


_PLAIN = {404: "There is no such path.", 405: "This path does not take that method."}
