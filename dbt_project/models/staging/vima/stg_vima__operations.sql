with

versions as (

    select * from {{ ref('stg_vima__operation_versions') }}

),

final as (

    {{ current_version('versions') }}

)

select * from final
