"""Closing a business day: what finance signs, kept for ever, and what changed since.

    marts (at rest) -> report -> ledger: signed lines, hash-chained closes    schema closing, never rebuilt
    raw log as it was known + the rule book of that time -> rebuild -> the same report, byte for byte

Stands on core alone: who runs the models is told to it by its caller.
"""
