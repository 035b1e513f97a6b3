"""Errors at the border to Dagster: one clear line in the event log, no stack trace with data or secrets in it."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from pipelines.core.errors import ConflictError, PlatformError, SourceAuthError
from pipelines.core.redaction import redact

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.SensorEvaluationContext


@contextmanager
def told_plainly(context: Context) -> Iterator[None]:
    """Turn an error of the block into a `dg.Failure` that says what happened and what to do."""
    try:
        yield
    except PlatformError as error:
        raise dg.Failure(
            description=redact(str(error)),
            metadata={"error": type(error).__name__, "fix": redact(error.fix)},
            # A refused password is not tried again, the account could be locked; a conflict resolves itself.
            allow_retries=not isinstance(error, SourceAuthError | ConflictError),
        ) from None
    except dg.Failure:
        raise
    except Exception as error:
        # Unexpected, so the place matters; messages of drivers may quote rows, so they pass the redaction.
        context.log.error(redact("".join(traceback.format_exception(error))))
        raise dg.Failure(
            description=redact(f"{type(error).__name__}: {error}")[:1000],
            metadata={"error": type(error).__name__, "fix": "this is a fault of the platform; see the run's log"},
        ) from None
