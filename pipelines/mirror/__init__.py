"""A copy of the marts as Parquet, cut by business date, with a DuckDB database over it. Stands on core alone.

    marts.* in one snapshot -> changed business dates -> PSP_HOME/mirror/<mart>/business_date=2026-01-15/*.parquet
                                                      -> PSP_HOME/mirror/marts.duckdb, a view per mart

For people who work in pandas or DuckDB, and for heavy questions over long history that a row store answers slowly.
Personal data is not in the marts, so it is not here. Run it alone with `psp mirror`.
"""
