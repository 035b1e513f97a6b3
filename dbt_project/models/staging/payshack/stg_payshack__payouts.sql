with

versions as (

    select * from {{ ref('stg_payshack__payout_versions') }}

),

final as (

    {{ current_version('versions') }}

)

select * from final
