"""GET /live: the operators' page, two files of the package. It holds no data: its script asks, with a key typed in."""

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)


@cache
def _file(name: str) -> str:
    return resources.files("pipelines.sidecar").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _headers() -> dict[str, str]:
    """Nothing but this origin is asked, nothing but the two files runs, and nobody frames the page."""
    style = re.findall(r"<style>(.*?)</style>", _file("live.html"), re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src 'self'; style-src 'sha256-{digest}'; connect-src 'self'; img-src data:;"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


@router.get("/live")
async def page() -> Response:
    """The page."""
    return Response(_file("live.html"), media_type="text/html; charset=utf-8", headers=_headers())


@router.get("/live.js")
async def script() -> Response:
    """Its script."""
    return Response(_file("live.js"), media_type="text/javascript; charset=utf-8", headers=_headers())
