"""What Dagster says of itself, over its GraphQL API. Never raises: an orchestrator that is down is an answer, too."""

import httpx

from pipelines.core.settings import Settings

TIMEOUT_SECONDS = 1.5

HEALTH = """
{ version instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""


class DagsterClient:
    """The webserver on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{settings.psp_dagster_port}", timeout=TIMEOUT_SECONDS, trust_env=False
        )

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def health(self) -> dict[str, object]:
        """`status`: up, degraded (a daemon that must run does not) or down; `version`; `daemons` that are not well."""
        try:
            answer = await self._http.post("/graphql", json={"query": HEALTH})
            answer.raise_for_status()
            data = answer.json()["data"]
            daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
            unwell = sorted(item["daemonType"] for item in daemons if item["required"] and not item["healthy"])
            version = str(data["version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return {"status": "down", "version": None, "unhealthy_daemons": []}
        return {"status": "degraded" if unwell else "up", "version": version, "unhealthy_daemons": unwell}
