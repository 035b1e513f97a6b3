"""Vima (Finmar) collector API.

System: REST, JSON, read-only, `GET {base}/operation`.
Auth: `apikey` in the query, so addresses are redacted everywhere.
Cursors: `from_operation_update_id` sees every new operation and later change; `from_operation_create_id` with date
reads one UTC created day. Both may be inclusive or exclusive; this client works with either.
Quirks: ids are decimal text beyond 2^53; `operation_state` lies; the asked amount alone is in minor units.
Left out on purpose: the `status` and `project` filters; everything reaches the raw log.
"""
