"""Who sees what, and how the server is set: groups, permissions of collections and data, settings, SMTP, cache.

The open-source edition cannot block data, so the walls are: All Users have nothing in our collections, a group reads
its own, and nobody but administrators writes queries on our connections. Permissions of others' content are not
touched.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.dashboards.provision.client import Refused
from pipelines.dashboards.provision.work import Work, differing

EVERYBODY = "All Users"
ATTEMPTS = 3
NO_QUERIES = {"view-data": "unrestricted", "create-queries": "no"}


def groups(work: Work) -> dict[str, int]:
    """Ids of our groups and of All Users, by name; missing ones are made. Members are people's own business."""
    found = {item["name"]: int(item["id"]) for item in work.client.get("/api/permissions/group")}
    for name in work.deploy.groups:
        if name not in found:
            found[name] = work.create("group", name, "/api/permissions/group", {"name": name})
    return {name: found[name] for name in (EVERYBODY, *work.deploy.groups)}


def permissions(work: Work, ids: Mapping[str, int]) -> None:
    """Both graphs, by the revision that was read: a change of somebody else in between is read again, not
    overwritten."""
    if any(number < 0 for number in ids.values()):
        work.note("update", "permissions", "of the new groups")
        return
    readers = {name: set(group.reads) for name, group in work.deploy.groups.items()}
    folders = {item.name: work.collections[key] for key, item in work.content.collections.items()}
    wanted = {
        str(ids[name]): {
            str(number): "read" if title in readers.get(name, ()) else "none" for title, number in folders.items()
        }
        for name in ids
    }
    _settle(work, "/api/collection/graph", "collection permissions", wanted)
    data = {str(number): {str(base): NO_QUERIES for base in work.databases.values()} for number in ids.values()}
    _settle(work, "/api/permissions/graph", "data permissions", data)


def _settle(work: Work, path: str, name: str, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        graph = work.client.get(path)
        there = graph["groups"]
        changed = {
            group: {key: value for key, value in rules.items() if not _has(there.get(group, {}).get(key), value)}
            for group, rules in wanted.items()
        }
        changed = {group: rules for group, rules in changed.items() if rules}
        if not changed:
            return
        if attempt == 1:
            work.note("update", name, f"of {len(changed)} groups")
        if work.dry:
            return
        try:
            work.client.put(path, {"revision": graph["revision"], "groups": changed})
            return
        except Refused as error:
            if error.status != 409 or attempt == ATTEMPTS:
                raise


def _has(there: Any, wanted: Any) -> bool:
    """Whether the rule is there; what is not told is `none` for a collection."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(there.get(key) == value for key, value in wanted.items())
    return bool((there or "none") == wanted)


def server(work: Work) -> None:
    """Settings, mail server and cache."""
    wanted = {**work.deploy.settings, "report-timezone": work.settings.psp_business_timezone}
    for key, value in wanted.items():
        there = work.client.get(f"/api/setting/{key}")
        if there != value:
            work.update("setting", key, f"/api/setting/{key}", {"value": value}, (f"{there} -> {value}",))
    _smtp(work)
    strategy = {
        "type": "ttl",
        "multiplier": work.deploy.cache.multiplier,
        "min_duration_ms": work.deploy.cache.milliseconds,
    }
    kept = work.client.get("/api/cache", model="root").get("data") or []
    now = next((item.get("strategy") or {} for item in kept if item.get("model") == "root"), {})
    if changed := differing(strategy, now):
        body = {"model": "root", "model_id": 0, "strategy": strategy}
        work.update("cache", "policy", "/api/cache", body, changed)


def _smtp(work: Work) -> None:
    settings = work.settings
    if settings.metabase_smtp_host is None:
        return
    wanted = {
        "email-smtp-host": settings.metabase_smtp_host,
        "email-smtp-port": settings.metabase_smtp_port,
        "email-smtp-security": settings.metabase_smtp_security,
        "email-smtp-username": settings.metabase_smtp_username,
    }
    there = {key: work.client.get(f"/api/setting/{key}") for key in wanted}
    # The port is kept as text by some versions.
    found = {key: value if key != "email-smtp-port" or value is None else int(value) for key, value in there.items()}
    changed = tuple(key for key, value in wanted.items() if (found[key] or None) != value)
    if not changed:
        return
    password = settings.metabase_smtp_password
    body = {**wanted, "email-smtp-password": password.get_secret_value() if password else None}
    work.update("mail server", str(settings.metabase_smtp_host), "/api/email", body, changed)
