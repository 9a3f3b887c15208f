-- Makes a table a tenant's: rows are seen and touched within their tenant alone, by its owner too.
--
-- The table has a column `tenant_id uuid not null`, which leads its primary key and every unique index. The
-- policy is not wrapped in a sub-select: the planner then sees the tenant's value, and plans for its size.
create function shared_db.tenant_table(tenant_table regclass) returns void language plpgsql as $function$
declare
    loose text;
begin
    if not exists (select 1 from pg_catalog.pg_attribute
                    where attrelid = tenant_table and attname = 'tenant_id'
                      and atttypid = 'uuid'::regtype and attnotnull and not attisdropped) then
        raise exception '% needs a column: tenant_id uuid not null', tenant_table;
    end if;
    select i.indexrelid::regclass::text into loose
      from pg_catalog.pg_index i
      left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where i.indrelid = tenant_table and (i.indisunique or i.indisexclusion) and a.attname is distinct from 'tenant_id' limit 1;
    if loose is not null then
        raise exception 'unique index % must begin with tenant_id: else it tells one tenant of another''s rows', loose;
    end if;
    execute format('alter table %s enable row level security', tenant_table);
    execute format('alter table %s force row level security', tenant_table);
    execute format($policy$
        create policy tenant on %s for all to {app}
         using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
         with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, tenant_table);
    execute format('grant select, insert, update, delete on %s to {app}', tenant_table);
end $function$;

-- The same for a table of the family's own that the system role works on over all tenants.
create function shared_db.family_table(tenant_table regclass) returns void language plpgsql as $function$
begin
    perform shared_db.tenant_table(tenant_table);
    execute format('create policy system on %s for all to {system} using (true) with check (true)', tenant_table);
    execute format('grant select, insert, update, delete on %s to {system}', tenant_table);
end $function$;
