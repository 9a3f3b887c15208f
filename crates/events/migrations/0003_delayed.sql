-- Events that are published later: written with the COMMIT of their transaction, and moved into the log when they are due.
create table shared_events.delayed (
    tenant_id uuid not null,
    id uuid not null,
    name text collate "C" not null check (length(name) between 1 and 100),
    version integer not null check (version > 0),
    key text collate "C" not null check (length(key) between 1 and 255),
    payload json not null,
    context json not null,
    due timestamptz not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id)
);
create index delayed_due on shared_events.delayed (due, id);
select shared_db.family_table('shared_events.delayed');
-- What was promised is kept or cancelled, and not changed.
revoke update on shared_events.delayed from {app};

-- Whoever cuts the log releases what is due.
create policy system_writes on shared_events.log for insert to {system} with check (true);
grant insert (lane, id, tenant_id, name, version, key, payload, context) on shared_events.log to {system};
grant usage on sequence shared_events.log_pos_seq to {system};

-- Moves what is due into the log, in the order in which it is due; at most so much. Returns how much it was.
--
-- It waits for nobody: what an open transaction is about to cancel stays for the next time, and with it what is due behind it with the
-- same key. It is to be called by one transaction at a time, such as the one that makes a tick.
create function shared_events.release_delayed(most integer) returns integer language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    -- Not in the statement: the index can't be searched by what changes from row to row.
    moment timestamptz := clock_timestamp();
    released integer;
begin
    with free as materialized (
        select d.tenant_id, d.id, d.key, d.due from shared_events.delayed d
         where d.due <= moment
         order by d.due, d.id limit most for update skip locked
    ), held as materialized (
        select d.tenant_id, d.key, d.due, d.id from shared_events.delayed d
         where (d.due, d.id) <= (select f.due, f.id from free f order by f.due desc, f.id desc limit 1)
           and (d.tenant_id, d.id) not in (select f.tenant_id, f.id from free f)
    ), moved as (
        delete from shared_events.delayed d using free f
         where d.tenant_id = f.tenant_id and d.id = f.id
           and not exists (select from held h
                            where h.tenant_id = f.tenant_id and h.key = f.key and (h.due, h.id) < (f.due, f.id))
        returning d.tenant_id, d.id, d.name, d.version, d.key, d.payload, d.context, d.due
    )
    insert into shared_events.log (lane, tenant_id, id, name, version, key, payload, context)
    select shared_events.lane_of(m.tenant_id, m.key), m.tenant_id, m.id, m.name, m.version, m.key, m.payload, m.context from moved m order by m.due, m.id;
    get diagnostics released = row_count;
    return released;
end $function$;
revoke all on function shared_events.release_delayed(integer) from public;
grant execute on function shared_events.release_delayed(integer) to {system};
