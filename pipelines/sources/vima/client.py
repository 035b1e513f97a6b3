"""One page of Vima operations at a time, each record's bytes kept as delivered."""

from dataclasses import dataclass

import msgspec

from pipelines.core.errors import SourceContractError
from pipelines.core.runtime import VimaAccess
from pipelines.sources.common.json_text import decode
from pipelines.sources.common.transport import PageTransport, Parameters

PAGE_SIZE = 100


class _Wrapped(msgspec.Struct):
    operations: list[msgspec.Raw]


_array = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped = msgspec.json.Decoder(_Wrapped)


@dataclass(frozen=True, slots=True)
class VimaClient:
    """Reads `GET /operation`. Raises the SourceError family, never with the key in its text."""

    access: VimaAccess
    transport: PageTransport

    def page(self, **parameters: str | int) -> list[msgspec.Raw]:
        """The records of one page; a bare array and a wrapped one are both understood."""
        asked: Parameters = {"count": PAGE_SIZE, "descending": "false", **parameters, "apikey": self.access.api_key}
        body = self.transport.get(f"{self.access.base_url}/operation", params=asked, headers={})
        try:
            if body.lstrip()[:1] == b"{":
                wrapped: _Wrapped = decode(_wrapped, body)
                return wrapped.operations
            bare: list[msgspec.Raw] = decode(_array, body)
            return bare
        except msgspec.DecodeError:
            raise SourceContractError(
                "Vima answered something that is not an array of operations.",
                fix="check VIMA_BASE_URL; if it is right, Vima's wire format has changed",
            ) from None
