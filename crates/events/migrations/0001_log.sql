-- The log: one row an event, written with the COMMIT of the transaction that published it, and never changed.
--
-- `xid` is the top-level transaction's, in savepoints too: readers decide by it what a snapshot sees. `pos` orders the events of
-- one batch; the sequence must not cache, or two sessions would draw positions out of order under one lock. The texts are `json`,
-- not `jsonb`: they stay as they were written. The unique index on `pos` tells a tenant nothing, since only the server fills it.
create table shared_events.log (
    pos bigint generated always as identity (cache 1) primary key,
    xid xid8 not null default pg_current_xact_id(),
    id uuid not null,
    tenant_id uuid not null,
    name text not null check (length(name) between 1 and 100),
    version integer not null check (version > 0),
    key text not null check (length(key) between 1 and 255),
    payload json not null,
    context json not null,
    at timestamptz not null default clock_timestamp()
);
create index log_xid_pos on shared_events.log (xid, pos);

create function shared_events.refuse() returns trigger language plpgsql as $function$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the log of events is append-only';
end $function$;
create trigger append_only before update or delete or truncate on shared_events.log
    for each statement execute function shared_events.refuse();

alter table shared_events.log enable row level security;
alter table shared_events.log force row level security;
create policy tenant_writes on shared_events.log for insert to {app}
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy tenant_reads on shared_events.log for select to {app}
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy system_reads on shared_events.log for select to {system} using (true);
-- Not `pos`, `xid` and `at`: those are the server's.
grant select, insert (id, tenant_id, name, version, key, payload, context) on shared_events.log to {app};
grant select on shared_events.log to {system};

-- A tick is a cut through the log: everything that its snapshot sees came before. Ticks are made one at a time, under this lock.
create table shared_events.tick_lock (one boolean primary key default true check (one));
insert into shared_events.tick_lock default values;
create table shared_events.tick (
    tick bigint generated always as identity primary key,
    snap pg_snapshot not null,
    at timestamptz not null default clock_timestamp()
);
-- Tick 0 comes before every event; a new subscription begins there.
insert into shared_events.tick (tick, snap) overriding system value values (0, pg_current_snapshot());

-- A subscription reads the whole log once: it has passed every event up to `tick`, and of the next tick those up to `pos`. One relay at
-- a time holds its lease; `epoch` counts the holders, and a write that names an older one touches no row.
create table shared_events.subscription (
    name text primary key check (length(name) between 1 and 63),
    tick bigint not null default 0,
    pos bigint not null default 0,
    epoch bigint not null default 0,
    owner uuid,
    expires timestamptz not null default '-infinity'
) with (fillfactor = 50);

grant select, update on shared_events.tick_lock to {system};
grant select, insert, delete on shared_events.tick to {system};
grant select, insert, update on shared_events.subscription to {system};
