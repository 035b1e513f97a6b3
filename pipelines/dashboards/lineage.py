"""Which marts a dashboard reads, and the dbt exposures that say so.

Content -> marts by dashboard -> dbt_project/models/marts/_dashboards__exposures.yml, written by
                                 `psp dashboards exposures` and compared by `psp dashboards check`
"""

import re
from pathlib import Path

from pipelines.core.settings import PROJECT_ROOT
from pipelines.dashboards.entities import Card, Content, Dashboard

EXPOSURES = PROJECT_ROOT / "dbt_project" / "models" / "marts" / "_dashboards__exposures.yml"
HEAD = "# Generated from dashboards/ by `psp dashboards exposures`; change the dashboard files and run it again.\n"
OWNERS = {
    "Finance": "finance-data@example.com",
    "Sales": "analytics@example.com",
    "Operations": "data-platform@example.com",
}
_MART = re.compile(r"\bmarts\.([a-z_0-9]+)")


def marts_of_card(card: Card) -> set[str]:
    """Relations of schema marts that its query names."""
    return set(_MART.findall(card.sql))


def marts_of(content: Content, dashboard: Dashboard) -> list[str]:
    """All marts of a dashboard, sorted."""
    return sorted({mart for card in content.cards_of(dashboard) for mart in marts_of_card(card)})


def owner_of(content: Content, dashboard: Dashboard) -> str:
    """Whom to ask about it: by its collection."""
    return OWNERS.get(content.trail(dashboard.collection_id)[-1], "analytics@example.com")


def exposures(content: Content) -> str:
    """The text of the exposures file."""
    lines = [HEAD + "version: 2\n", "exposures:"]
    for board in content.ordered():
        marts = [f"      - ref('{mart}')" for mart in marts_of(content, board)]
        owner = owner_of(content, board)
        lines += [
            f"  - name: {board.slug}",
            f"    label: {board.name}",
            "    type: dashboard",
            "    maturity: high",
            f'    description: "{board.description}"',
            "    owner:",
            f"      name: {owner.partition('@')[0]}",
            f"      email: {owner}",
            "    depends_on:",
            *marts,
            "",
        ]
    return "\n".join(lines)


def stale_exposures(content: Content, path: Path = EXPOSURES) -> list[str]:
    """Why the file does not say what the dashboards say; empty when it does."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == exposures(content):
        return []
    return [f"{path.name} does not say what the dashboard files say; run `psp dashboards exposures`"]
