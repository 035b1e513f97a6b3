with

versions as (

    select * from {{ ref('stg_payshack__payin_versions') }}

),

final as (

    {{ current_version('versions') }}

)

{# The columns of the versions, and what the macro adds. #}
select * from final  -- noqa: AM04
