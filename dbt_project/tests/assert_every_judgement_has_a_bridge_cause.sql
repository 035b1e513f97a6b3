-- If this fails, the pair matrix can give a judgement that the bridge has no name for: its money would be residual.
select
    pair_matrix.flow,
    pair_matrix.vima_class,
    pair_matrix.payshack_class,
    pair_matrix.outcome,
    pair_matrix.reason
from {{ ref('pair_matrix') }} as pair_matrix
where
    pair_matrix.outcome <> 'matched'
    and not exists (
        select 1
        from {{ ref('bridge_causes') }} as causes
        where
            causes.comparability = pair_matrix.comparability
            and (causes.outcome = 'any' or causes.outcome = pair_matrix.outcome)
            and (causes.reason = 'any' or causes.reason = pair_matrix.reason)
    )
