-- Makes a table a tenant's: rows are seen and touched within their tenant alone, by its owner too.
--
-- The table has a column `tenant_id uuid not null`. It leads the primary key and every unique index, which would else tell one
-- tenant of another's rows by refusing a value; and it is part of every foreign key between tenants' tables, since the server
-- checks those past row-level security. The policy is not wrapped in a sub-select: the planner then sees the tenant's value, and
-- plans for its size.
--
-- A partitioned table passes its policies on to the partitions that it has; a partition that is attached later is made a tenant's
-- by a call of its own. Partitions get no grants: they are reached through their parent. A second call mends the policies, and
-- leaves the grants as they are.
create function shared_db.tenant_table(tenant_table regclass) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    part regclass;
    is_new boolean := not exists (select 1 from pg_policy where polrelid = tenant_table and polname = 'tenant');
begin
    for part in select tenant_table union select relid from pg_partition_tree(tenant_table) loop
        perform shared_db.refuse_loose_keys(part);
        execute format('alter table %s enable row level security', part);
        execute format('alter table %s force row level security', part);
        execute format('drop policy if exists tenant on %s', part);
        execute format('drop policy if exists across on %s', part);
        execute format($policy$
            create policy tenant on %s for all to {app}
             using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
             with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, part);
        execute format('create policy across on %s for all to {across} using (true) with check (true)', part);
    end loop;
    if is_new then
        perform shared_db.grant_rows(tenant_table, '{app}, {across}');
    end if;
end $function$;

-- The same for a table of the family's own that the system role works on over all tenants.
create function shared_db.family_table(tenant_table regclass) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    part regclass;
    is_new boolean := not exists (select 1 from pg_policy where polrelid = tenant_table and polname = 'system');
begin
    perform shared_db.tenant_table(tenant_table);
    for part in select tenant_table union select relid from pg_partition_tree(tenant_table) loop
        execute format('drop policy if exists system on %s', part);
        execute format('create policy system on %s for all to {system} using (true) with check (true)', part);
    end loop;
    if is_new then
        perform shared_db.grant_rows(tenant_table, '{system}');
    end if;
end $function$;

-- Raises where the keys of a table could tell one tenant of another's rows.
create function shared_db.refuse_loose_keys(tenant_table regclass) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    loose text;
begin
    if not exists (select 1 from pg_attribute
                    where attrelid = tenant_table and attname = 'tenant_id'
                      and atttypid = 'uuid'::regtype and attnotnull and not attisdropped) then
        raise exception '% needs a column: tenant_id uuid not null', tenant_table;
    end if;
    select i.indexrelid::regclass::text into loose
      from pg_index i
      left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where i.indrelid = tenant_table and (i.indisunique or i.indisexclusion) and a.attname is distinct from 'tenant_id' limit 1;
    if loose is not null then
        raise exception 'unique index % must begin with tenant_id: else it tells one tenant of another''s rows', loose;
    end if;
    select format('%I of %s', c.conname, c.conrelid::regclass) into loose
      from pg_constraint c
     where c.contype = 'f' and tenant_table in (c.conrelid, c.confrelid)
       and exists (select 1 from pg_attribute where attrelid = c.confrelid and attname = 'tenant_id' and not attisdropped)
       and not exists (
           select 1 from unnest(c.conkey, c.confkey) as key (here, there)
             join pg_attribute h on h.attrelid = c.conrelid and h.attnum = key.here and h.attname = 'tenant_id'
             join pg_attribute t on t.attrelid = c.confrelid and t.attnum = key.there and t.attname = 'tenant_id') limit 1;
    if loose is not null then
        raise exception 'foreign key % must be of (tenant_id, ..) to (tenant_id, ..): else it tells one tenant of another''s rows', loose;
    end if;
end $function$;

-- The four verbs on a table, to these roles and to nobody by default, with the sequences of its serial columns.
create function shared_db.grant_rows(granted regclass, roles text) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    numbers regclass;
begin
    if (select relispartition from pg_class where oid = granted) then
        return;
    end if;
    execute format('revoke all on %s from public', granted);
    execute format('grant select, insert, update, delete on %s to %s', granted, roles);
    -- An identity column needs no right to its sequence.
    for numbers in
        select d.objid from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S'
         where d.classid = 'pg_class'::regclass and d.refobjid = granted and d.deptype = 'a'
    loop
        execute format('grant usage on sequence %s to %s', numbers, roles);
    end loop;
end $function$;
