"""Requests made by the signed-in portal page itself, for when the portal refuses plain HTTP.

The same rules as over HTTP: time-outs, retries, Retry-After, a cap on the answer. Bytes come out of the page in base64,
because text would have been repaired on the way and a record must stay as it was written.
"""

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from pipelines.sources.common.pace import Pace
from pipelines.sources.common.transport import LOAD, MAX_ANSWER_BYTES, Parameters, Patience, PoliteTransport, Retryable

# The page brings its own cookies and user agent; only what scripts may set goes along.
SCRIPT_HEADERS = frozenset({"authorization", "reseller-id"})

_FETCH = """
async ([url, headers, seconds, limit]) => {
  let answer, bytes;
  try {
    answer = await fetch(url, {headers, redirect: "manual", signal: AbortSignal.timeout(seconds * 1000)});
    // Read piece by piece: whatever length is declared, or none, no more than the limit is ever held.
    const parts = [];
    let size = 0;
    for (const reader = answer.body ? answer.body.getReader() : null; reader;) {
      const {done, value} = await reader.read();
      if (done) break;
      size += value.length;
      if (size > limit) { await reader.cancel(); return {tooLarge: true}; }
      parts.push(value);
    }
    bytes = new Uint8Array(size);
    let filled = 0;
    for (const part of parts) { bytes.set(part, filled); filled += part.length; }
  } catch (problem) {
    return {failure: String(problem.name)};
  }
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 32768));
  }
  return {
    status: answer.type === "opaqueredirect" ? 302 : answer.status,
    contentType: answer.headers.get("content-type") || "",
    retryAfter: answer.headers.get("retry-after"),
    body: btoa(text),
  };
}
"""


class BrowserTransport(PoliteTransport):
    """A PageTransport that asks from inside the portal's page."""

    def __init__(
        self,
        page: Page,
        *,
        source: str,
        pace: Pace,
        patience: Patience = LOAD,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(source=source, pace=pace, patience=patience, sleep=sleep)
        self._page = page

    def _get_once(self, url: str, params: Parameters, headers: Mapping[str, str]) -> bytes:
        allowed = {name: value for name, value in headers.items() if name.lower() in SCRIPT_HEADERS}
        address = f"{url}?{urlencode(params)}" if params else url
        try:
            answer: dict[str, Any] = self._page.evaluate(
                _FETCH, [address, allowed, self._patience.read_seconds, MAX_ANSWER_BYTES]
            )
        except PlaywrightError:
            raise Retryable("the portal's page broke off") from None
        if answer.get("failure"):
            raise Retryable(f"{answer['failure']} inside the portal's page")
        if answer.get("tooLarge"):
            raise self._too_large(url)
        self._judge(
            url,
            status=int(answer["status"]),
            content_type=str(answer["contentType"]),
            retry_after=answer["retryAfter"],
        )
        return base64.b64decode(answer["body"])
