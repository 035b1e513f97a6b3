{{ config(materialized='view', group='reporting') }}

{{
    segments_reported(
        ['business_date', 'source', 'project', 'flow', 'currency', 'country'],
    )
}}
