"""Collections, cards and dashboards: found by their mark, made, changed, and put away when their file is gone.

Dashboards take two passes: first all of them exist, then their cards are laid out, because links name dashboards by
number.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.dashboards.provision.wishes import (
    Places,
    card_body,
    card_found,
    dashboard_body,
    dashboard_found,
)
from pipelines.dashboards.provision.work import Work, differing, entity_of, marked


def collections(work: Work) -> None:
    """Folders, parents first."""
    found = _ours(work, work.client.get("/api/collection"), "collection")
    for item in sorted(work.content.collections.values(), key=lambda one: len(work.content.trail(one.entity_id))):
        parent = work.collections[item.parent_id] if item.parent_id else None
        body = {"name": item.name, "description": marked(item.description, item.entity_id), "parent_id": parent}
        there = found.get(item.entity_id)
        if there is None:
            work.collections[item.entity_id] = work.create("collection", item.name, "/api/collection", body)
            continue
        work.collections[item.entity_id] = int(there["id"])
        is_there = {"name": there["name"], "description": there.get("description"), "parent_id": _parent(there)}
        if changed := differing(body, is_there):
            sent = {**{key: body[key] for key in changed}, "archived": False}
            work.update("collection", item.name, f"/api/collection/{there['id']}", sent, changed)


def _parent(collection: Mapping[str, Any]) -> int | None:
    """`location` is the path of ids above it: /1/5/."""
    if "parent_id" in collection and collection["parent_id"] is not None:
        return int(collection["parent_id"])
    above = [part for part in str(collection.get("location") or "/").split("/") if part]
    return int(above[-1]) if above else None


def cards(work: Work) -> None:
    """Questions. One that was archived by hand comes back."""
    listed = [*work.client.get("/api/card", f="all"), *work.client.get("/api/card", f="archived")]
    found = _ours(work, listed, "card")
    for card in work.content.cards.values():
        body = card_body(work, card)
        there = found.get(card.entity_id)
        if there is None:
            work.cards[card.entity_id] = work.create("card", card.name, "/api/card", body)
            continue
        work.cards[card.entity_id] = int(there["id"])
        changed = differing(body, card_found(there))
        if there.get("archived"):
            changed = (*changed, "archived")
        if changed:
            sent = {key: body[key] for key in changed if key != "archived"}
            if there.get("archived"):
                sent["archived"] = False
            work.update("card", card.name, f"/api/card/{there['id']}", sent, changed)


def dashboards(work: Work) -> None:
    """All of them, then what lies on them."""
    listed = [*work.client.get("/api/dashboard", f="all"), *work.client.get("/api/dashboard", f="archived")]
    found = _ours(work, listed, "dashboard")
    fresh = set()
    for board in work.content.ordered():
        there = found.get(board.entity_id)
        if there is not None:
            work.dashboards[board.entity_id] = int(there["id"])
            continue
        fresh.add(board.entity_id)
        body = {
            "name": board.name,
            "description": marked(board.description, board.entity_id),
            "collection_id": work.collections[board.collection_id or ""],
        }
        work.dashboards[board.entity_id] = work.create("dashboard", board.name, "/api/dashboard", body)
    answers = {
        key: work.client.get(f"/api/dashboard/{number}") if number > 0 else {}
        for key, number in work.dashboards.items()
    }
    places = {board.entity_id: Places(work, board, answers[board.entity_id]) for board in work.content.ordered()}
    for one in places.values():
        work.tabs |= one.tabs
    for board in work.content.ordered():
        body = dashboard_body(work, board, places[board.entity_id])
        there = dashboard_found(answers[board.entity_id])
        changed = _changed(body, there)
        path = f"/api/dashboard/{work.dashboards[board.entity_id]}"
        if board.entity_id in fresh:
            if not work.dry:
                work.client.put(path, body)
        elif changed:
            work.update("dashboard", board.name, path, body, changed)


def _changed(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys that differ; the order in which a server lists dashcards means nothing."""
    by_id = {item["id"]: item for item in there["dashcards"]}
    details = [key for key in differing(wanted, there) if key != "dashcards"]
    for item in wanted["dashcards"]:
        parts = differing(item, by_id.pop(item["id"], {}))
        if parts:
            details.append(
                f"card at {item['row']},{item['col']}: {', '.join(parts)}" if item["id"] > 0 else "a new card"
            )
    details += ["a card less"] * len(by_id)
    return tuple(details)


def prune(work: Work) -> None:
    """Archive what carries our mark, was made by us, and has no file any more. A person's copy stays."""
    kinds = (
        ("dashboard", "/api/dashboard", work.content.dashboards),
        ("card", "/api/card", work.content.cards),
    )
    for kind, path, wanted in kinds:
        for item in work.client.get(path, f="all"):
            marked_as = entity_of(item.get("description"))
            if marked_as is None or marked_as in wanted or item.get("archived") or item.get("creator_id") != work.me:
                continue
            work.note("archive", kind, item["name"])
            if not work.dry:
                work.client.put(f"{path}/{item['id']}", {"archived": True})
    for item in work.client.get("/api/collection"):
        marked_as = entity_of(item.get("description"))
        if marked_as is None or marked_as in work.content.collections or item.get("archived"):
            continue
        held = work.client.get(f"/api/collection/{item['id']}/items")
        held = held.get("data", []) if isinstance(held, dict) else held
        if held:
            work.warnings.append(
                f"the collection {item['name']} has no file any more, but holds {len(held)} things: kept"
            )
            continue
        work.note("archive", "collection", item["name"])
        if not work.dry:
            work.client.put(f"/api/collection/{item['id']}", {"archived": True})


def _ours(work: Work, listed: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Mapping[str, Any]]:
    """What is there by entity id. Where a person has copied one, the copy carries the mark as well: ours is the one
    that we made, else the oldest."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in listed:
        entity = entity_of(item.get("description"))
        if entity is not None:
            found.setdefault(entity, []).append(item)
    chosen = {}
    for entity, items in found.items():
        items.sort(
            key=lambda item: (item.get("creator_id", work.me) != work.me, bool(item.get("archived")), item["id"])
        )
        chosen[entity] = items[0]
        if len(items) > 1:
            work.warnings.append(
                f"{len(items)} of {kind} carry the mark of {items[0]['name']}; the copies are left alone"
            )
    return chosen
