"""Dashboards into a Metabase (open source, 0.63) over its REST API: plan and apply, the same code with and without
writing.

    sign_in     first-run setup, session or API key, one key of our own
    connections a PostgreSQL login role and a database connection per audience, schema sync, field ids
    content     collections, cards, dashboards with tabs, dashcards and links; what was once made and is gone is
                archived
    access      groups, collection and data permissions, settings, SMTP, cache
    mail        subscriptions with files

What is ours carries `[code:<entity id>]` at the end of its description: Metabase gives every entity an id of its own
and takes none. Everything without that mark is left alone.
"""
