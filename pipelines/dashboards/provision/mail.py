"""Subscriptions: dashboards by mail with their rows as files. In Metabase 0.63 they are still /api/pulse.

One is known by its dashboard and its name. A PUT always carries the whole body: what is left out goes back to defaults,
and a subscription that was not told `archived` comes back.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.dashboards.deploy import Subscription, card_named
from pipelines.dashboards.provision.work import Work, differing


def subscriptions(work: Work) -> None:
    """Make, change and put away what the deployment file says."""
    boards = {board.slug: board for board in work.content.dashboards.values()}
    wanted = {(item.dashboard, item.name): item for item in work.deploy.subscriptions}
    recipients = work.settings.finance_recipients
    if wanted and not recipients:
        work.warnings.append("no subscriptions: METABASE_FINANCE_RECIPIENTS is not set")
    if wanted and recipients and not work.dry and not work.client.get("/api/setting/email-configured%3F"):
        work.warnings.append("Metabase has no mail server: subscriptions are kept, but nothing is sent")
    for slug, board in boards.items():
        number = work.dashboards[board.entity_id]
        there = work.client.get("/api/pulse", dashboard_id=number) if number > 0 else []
        live = {item["name"]: item for item in there if not item.get("archived") and item.get("creator_id") == work.me}
        for (dashboard, name), item in wanted.items():
            if dashboard == slug and recipients:
                _keep(work, number, item, live.get(name), recipients)
        for name, item in live.items():
            if (slug, name) not in wanted or not recipients:
                work.note("archive", "subscription", name)
                if not work.dry:
                    work.client.put(f"/api/pulse/{item['id']}", {**_sendable(item), "archived": True})


def _keep(
    work: Work, number: int, item: Subscription, there: Mapping[str, Any] | None, recipients: tuple[str, ...]
) -> None:
    if work.dry and number < 0:
        work.note("create", "subscription", item.name)
        return
    places = {place["card_id"]: place["id"] for place in work.client.get(f"/api/dashboard/{number}")["dashcards"]}
    cards = []
    for attached in item.cards:
        card = work.cards[card_named(work.content, attached.card).entity_id]
        if card not in places:
            work.note("update", "subscription", item.name, ("cards",))
            return  # a plan: the card is not there yet
        cards.append(
            {
                "id": card,
                "dashboard_card_id": places[card],
                "include_csv": attached.csv,
                "include_xls": attached.xlsx,
                "format_rows": False,
                "pivot_results": False,
            }
        )
    channel = {
        "enabled": True,
        "channel_type": "email",
        "schedule_type": item.schedule,
        "schedule_hour": item.hour,
        "schedule_day": item.day,
        "schedule_frame": item.frame,
        "recipients": [{"email": address} for address in recipients],
        "details": {"attachment_only": True},
    }
    body = {
        "name": item.name,
        "dashboard_id": number,
        "skip_if_empty": False,
        "cards": cards,
        "channels": [channel],
    }
    if there is None:
        work.create("subscription", item.name, "/api/pulse", body)
        return
    changed = differing(body, {**_sendable(there), "dashboard_id": number})
    if changed:
        sent = {key: value for key, value in body.items() if key != "dashboard_id"}
        work.update("subscription", item.name, f"/api/pulse/{there['id']}", {**sent, "archived": False}, changed)


def _sendable(there: Mapping[str, Any]) -> dict[str, Any]:
    """What is there, in the form that is sent."""
    card_keys = ("id", "dashboard_card_id", "include_csv", "include_xls", "format_rows", "pivot_results")
    channel_keys = ("enabled", "channel_type", "schedule_type", "schedule_hour", "schedule_day", "schedule_frame")
    return {
        "name": there["name"],
        "skip_if_empty": bool(there.get("skip_if_empty")),
        "cards": [{key: card.get(key) for key in card_keys} for card in there.get("cards") or ()],
        "channels": [
            {
                **{key: channel.get(key) for key in channel_keys},
                "recipients": [{"email": one["email"]} for one in channel.get("recipients") or ()],
                "details": {"attachment_only": bool((channel.get("details") or {}).get("attachment_only"))},
            }
            for channel in there.get("channels") or ()
        ],
    }
