with

versions as (

    select * from {{ ref('stg_payshack__payin_versions') }}

),

final as (

    {{ current_version('versions') }}

)

select * from final
