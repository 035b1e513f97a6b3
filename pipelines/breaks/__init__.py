"""What people do about breaks: an append-only log of their decisions beside the system's own, and who may take which.

    psp breaks, sidecar -> actions -> ledger -> breaks.append_wanted() -> breaks.events -> marts.fct_breaks

Grain: one event per action and break. Nothing here changes what reconciliation says; a decision holds until new data
contradict it. Stands on core alone.
"""
