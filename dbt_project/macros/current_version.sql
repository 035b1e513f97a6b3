{#
    Newest version of each record, with one exception: a version that is less final than an earlier one never replaces it.
    So: the most final versions, and of those the newest by the source's own time, then by the source's own order, then by
    when it was first seen; the hash decides between versions that nothing else tells apart, so that a rebuild agrees.
    A record whose newest version lost to a more final one carries `is_status_regression`; `class_since` is the time of the
    first version of its class.

    `versions` names a relation or CTE with the columns of the staging version models.
#}
{% macro current_version(versions) %}
    select distinct on (ranked.transaction_id)
        ranked.*,
        ranked.newest_finality_rank < ranked.finality_rank as is_status_regression
    from (
        select
            versions.*,
            words.finality_rank,
            first_value(words.finality_rank) over (
                partition by versions.transaction_id
                order by
                    versions.updated_at desc nulls last,
                    versions.source_order desc nulls last,
                    versions.observed_at desc,
                    versions.content_hash desc
            ) as newest_finality_rank,
            min(versions.observed_at) over (partition by versions.transaction_id) as first_seen_at,
            min(versions.updated_at) over (partition by versions.transaction_id, versions.status_class) as class_since
        from {{ versions }} as versions
        inner join {{ ref('status_class_words') }} as words
            on versions.status_class = words.status_class
    ) as ranked
    order by
        ranked.transaction_id asc,
        ranked.finality_rank desc,
        ranked.updated_at desc nulls last,
        ranked.source_order desc nulls last,
        ranked.observed_at desc,
        ranked.content_hash desc
{% endmacro %}
