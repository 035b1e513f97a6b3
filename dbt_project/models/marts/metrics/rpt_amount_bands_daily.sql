{{ config(materialized='view', group='reporting') }}

{{
    segments_reported(
        ['business_date', 'source', 'project', 'flow', 'currency', 'amount_band'],
        caption=amount_band_name('counted.amount_band') ~ ' as amount_band_name,',
    )
}}
