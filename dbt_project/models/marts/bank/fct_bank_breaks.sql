{{ config(materialized='view') }}

-- depends_on: {{ ref('int_breaks__transitions') }}

{{ breaks_as_they_stand("reason_family = 'bank'", said=['bank_outcome', 'movement_id', 'bank_line_id']) }}
