-- Room for a second building of the models beside the marts (pipelines/defs/model/shadow.py); empty except while one is made.
do $$
declare
    layer text;
begin
    foreach layer in array array['reference', 'staging', 'intermediate', 'marts'] loop
        execute format('create schema if not exists %I', 'shadow_' || layer);
        execute format('grant usage, create on schema %I to psp_transformer', 'shadow_' || layer);
    end loop;
end
$$;
