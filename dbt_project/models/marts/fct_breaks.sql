{{ config(materialized='view', group='reconciliation') }}

-- depends_on: {{ ref('int_breaks__transitions') }}

-- The bank's stand beside the five types (R10): in fct_bank_breaks.
{{ breaks_as_they_stand("reason_family is distinct from 'bank'") }}
