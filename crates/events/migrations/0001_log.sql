-- The log: one row an event, written with the COMMIT of the transaction that published it, and never changed.
--
-- `xid` is the top-level transaction's, in savepoints too: readers decide by it what a snapshot sees. `pos` orders the events of
-- one batch; the sequence must not cache, or two sessions would draw positions out of order under one lock. `lane` is the part of
-- the log that a tenant's key lies in: sixteen, so that relays can share a subscription and still keep a key's order. The texts are
-- `json`, not `jsonb`: they stay as they were written. A context is without its tenant, which is a column. The log is kept in days,
-- since a day can be dropped at once where millions of rows can't be deleted. Positions and ids are unique by the way they are made: an
-- index that proves it would be written to by every transaction, and could not hold over all days.
--
-- What a name, a key and a version may be is said by domains, since those are checked by the statement's plan: constraints of the table
-- are read from the catalogue and planned again by each statement, which takes a fifth of the time to write an event. For the same reason the
-- lane is no generated column: whoever writes computes it, and the tenants' policy lets no other in.
create sequence shared_events.log_pos_seq cache 1;
create domain shared_events.event_name as text check (length(value) between 1 and 100);
create domain shared_events.event_version as integer check (value > 0);
create domain shared_events.event_key as text check (length(value) between 1 and 255);
create function shared_events.lane_of(tenant uuid, key text) returns smallint language sql immutable parallel safe as $function$
    select (pg_catalog.uuid_hash_extended(tenant, pg_catalog.hashtextextended(key, 0)) operator(pg_catalog.&) 15)::pg_catalog.int2
$function$;
revoke all on function shared_events.lane_of(uuid, text) from public;
grant execute on function shared_events.lane_of(uuid, text) to {app}, {system};
create table shared_events.log (
    pos bigint not null default nextval('shared_events.log_pos_seq'),
    xid xid8 not null default pg_current_xact_id(),
    lane smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    name shared_events.event_name not null,
    version shared_events.event_version not null,
    key shared_events.event_key not null,
    payload json not null,
    context json not null,
    at timestamptz not null default clock_timestamp()
) partition by range (at);
alter sequence shared_events.log_pos_seq owned by shared_events.log.pos;
-- With `at`, by which a row is found in its day.
create index log_lane_xid_pos on shared_events.log (lane, xid, pos) include (at);

create function shared_events.refuse() returns trigger language plpgsql as $function$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the log of events is append-only';
end $function$;
create trigger append_only before update or delete or truncate on shared_events.log
    for each statement execute function shared_events.refuse();

alter table shared_events.log enable row level security;
alter table shared_events.log force row level security;
create policy tenant_writes on shared_events.log for insert to {app}
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and lane = shared_events.lane_of(tenant_id, key));
create policy tenant_reads on shared_events.log for select to {app}
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy system_reads on shared_events.log for select to {system} using (true);
-- Not `pos`, `xid` and `at`: those are the server's.
grant select, insert (lane, id, tenant_id, name, version, key, payload, context) on shared_events.log to {app};
grant usage on sequence shared_events.log_pos_seq to {app};
grant select on shared_events.log to {system};

-- What each day of the log needs beside its rows. The parent's trigger and policies do not hold for a day that is named itself.
create function shared_events.guard_day(part text) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $function$
begin
    execute format('create trigger append_only before update or delete or truncate on shared_events.%I
                        for each statement execute function shared_events.refuse()', part);
    execute format('alter table shared_events.%I enable row level security', part);
    execute format('alter table shared_events.%I force row level security', part);
    execute format('create policy system_reads on shared_events.%I for select to {system} using (true)', part);
end $function$;

-- Where an event goes whose day is not there: it is never refused for that. It should be empty, and what it has is moved.
create table shared_events.log_default partition of shared_events.log default;
select shared_events.guard_day('log_default');
grant select on shared_events.log_default to {system};

-- The days that the log has, a row for each partition: `last` is the day in which it ends. All but those that were the default partition
-- are of one day.
create function shared_events.days() returns table (day date, last date) language sql stable
set search_path = pg_catalog, pg_temp as $function$
    select to_date(substring(c.relname from 5 for 8), 'YYYYMMDD'), to_date(right(c.relname, 8), 'YYYYMMDD')
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'shared_events.log'::regclass and c.relname ~ '^log_[0-9]{8}(_[0-9]{8})?$'
     order by 1
$function$;

-- The name of the partition that begins with a day.
create function shared_events.day_name(first date) returns text language sql stable
set search_path = pg_catalog, pg_temp as $function$
    select 'log_' || to_char(d.day, 'YYYYMMDD') || case when d.last > d.day then '_' || to_char(d.last, 'YYYYMMDD') else '' end
      from shared_events.days() d where d.day = first
$function$;

-- Makes the partition of a day (UTC). A lock is waited for 50 ms at most, after which it fails, to be tried again. Returns whether there was
-- anything to do.
--
-- With `strays` the default partition may have events of the day, which are moved, row by row. Nobody reads the log then: whoever has looked which
-- partitions there are, and waits for a lock of one, would look for the rows where they were, and not find them.
create function shared_events.make_day(day date, strays boolean default false) returns boolean language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $function$
declare
    part text := 'log_' || to_char(day, 'YYYYMMDD');
    since timestamptz := (to_char(day, 'YYYY-MM-DD') || ' 00:00Z')::timestamptz;
    until timestamptz := (to_char(day + 1, 'YYYY-MM-DD') || ' 00:00Z')::timestamptz;
    moved bigint;
begin
    if exists (select 1 from shared_events.days() d where make_day.day between d.day and d.last) then
        return false;
    end if;
    if strays then
        lock table only shared_events.log in access exclusive mode;
    end if;
    execute format('create table shared_events.%I (like shared_events.log including all)', part);
    -- Within this transaction alone; it is alone with the partition until it commits.
    lock table only shared_events.log_default in access exclusive mode;
    alter table shared_events.log_default no force row level security;
    alter table shared_events.log_default disable trigger append_only;
    execute format('with moved as (delete from shared_events.log_default where at >= $1 and at < $2
                                returning pos, xid, lane, id, tenant_id, name, version, key, payload, context, at)
                    insert into shared_events.%I (pos, xid, lane, id, tenant_id, name, version, key, payload, context, at)
                    select pos, xid, lane, id, tenant_id, name, version, key, payload, context, at from moved', part)
      using since, until;
    get diagnostics moved = row_count;
    if moved > 0 and not strays then
        raise exception using errcode = 'lock_not_available', message = 'the default partition has events of this day; nobody may read while they are moved';
    end if;
    alter table shared_events.log_default enable trigger append_only;
    alter table shared_events.log_default force row level security;
    perform shared_events.guard_day(part);
    execute format('alter table shared_events.log attach partition shared_events.%I for values from (%L) to (%L)',
                   part, since, until);
    return true;
end $function$;

-- Makes the default partition, as it stands, the one of these days, which are those of its rows, and a new one in its place. No row is moved:
-- it takes as long as it takes to look at each of them, and so long publishers wait. Returns whether it was done: not where another
-- partition lies among these days.
create function shared_events.settle_strays(first date, latest date) returns boolean language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $function$
declare
    part text := 'log_' || to_char(first, 'YYYYMMDD') || case when latest > first then '_' || to_char(latest, 'YYYYMMDD') else '' end;
begin
    if exists (select 1 from shared_events.days() d where d.day <= latest and d.last >= first) then
        return false;
    end if;
    lock table only shared_events.log in access exclusive mode;
    lock table only shared_events.log_default in access exclusive mode;
    alter table shared_events.log detach partition shared_events.log_default;
    revoke all on shared_events.log_default from {system};
    execute format('alter index shared_events.log_default_lane_xid_pos_at_idx rename to %I', part || '_lane_xid_pos_at_idx');
    execute format('alter table shared_events.log_default rename to %I', part);
    create table shared_events.log_default partition of shared_events.log default;
    perform shared_events.guard_day('log_default');
    grant select on shared_events.log_default to {system};
    -- This looks at them.
    execute format('alter table shared_events.log attach partition shared_events.%I for values from (%L) to (%L)', part,
                   (to_char(first, 'YYYY-MM-DD') || ' 00:00Z')::timestamptz, (to_char(latest + 1, 'YYYY-MM-DD') || ' 00:00Z')::timestamptz);
    return true;
end $function$;

-- Nobody publishes, or reads the day, until the transaction ends: so that whoever drops it knows that nothing has come since it looked.
create function shared_events.lock_day(day date) returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $function$
begin
    lock table only shared_events.log in access exclusive mode;
    execute format('lock table only shared_events.%I in access exclusive mode', shared_events.day_name(day));
end $function$;

-- Drops the partition that begins with a day, which is locked, and which every subscription has passed.
create function shared_events.drop_day(day date) returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $function$
begin
    execute format('drop table shared_events.%I', shared_events.day_name(day));
end $function$;

do $make$
declare
    one text;
begin
    foreach one in array array['guard_day(text)', 'make_day(date, boolean)', 'days()', 'day_name(date)', 'settle_strays(date, date)', 'lock_day(date)', 'drop_day(date)'] loop
        execute format('revoke all on function shared_events.%s from public', one);
    end loop;
    foreach one in array array['make_day(date, boolean)', 'days()', 'settle_strays(date, date)', 'lock_day(date)', 'drop_day(date)'] loop
        execute format('grant execute on function shared_events.%s to {system}', one);
    end loop;
end $make$;
-- Two days ahead, as the relays go on to do.
select shared_events.make_day((now() at time zone 'UTC')::date + ahead) from generate_series(0, 2) as ahead;

-- A tick is a cut through the log: everything that its snapshot sees came before. Ticks are made one at a time, under this lock, and on
-- the server that drew the log's transaction ids: on another, as after a dump was restored, they say nothing of what came before.
--
-- Their numbers are milliseconds of Unix time, or one more than the last where the clock does not go on. No order depends on the clock; but
-- when this database is set back, by a restore or a failover to a standby that was behind, the ticks that it makes then are later than
-- those that it has forgotten, and so sinks that have seen these take what comes.
create table shared_events.tick_lock (
    one boolean primary key default true check (one),
    server bigint not null
);
insert into shared_events.tick_lock (server) select system_identifier from pg_control_system();
create sequence shared_events.tick_seq cache 1;
create table shared_events.tick (
    tick bigint primary key default setval('shared_events.tick_seq', greatest(
        nextval('shared_events.tick_seq'), (extract(epoch from clock_timestamp()) * 1000)::bigint)),
    snap pg_snapshot not null,
    at timestamptz not null default clock_timestamp()
);
-- Tick 0 comes before every event; a new subscription begins there.
alter sequence shared_events.tick_seq owned by shared_events.tick.tick;
insert into shared_events.tick (tick, snap) values (0, pg_current_snapshot());

-- What the log was, in a chain of hashes: a seal covers the events between its snapshot and the one of the last whole seal before; of many
-- those up to `upto`, and the next seal goes on behind. A row that is changed behind the triggers shows. Writers know nothing of it.
create table shared_events.seal (
    seal bigint generated always as identity primary key,
    snap pg_snapshot not null,
    upto bigint,
    events bigint not null,
    -- The earliest `at` of its events: seals of days that are dropped can't be checked any more.
    since timestamptz,
    previous bytea not null,
    root bytea not null,
    at timestamptz not null default clock_timestamp()
);
-- Upkeep is one process's at a time: whoever has this row.
create table shared_events.upkeep (
    one boolean primary key default true check (one),
    at timestamptz not null default '-infinity',
    -- The last tick that was forgotten.
    pruned bigint not null default 0,
    -- What keeps the oldest day that is due from being dropped.
    held text
);
insert into shared_events.upkeep default values;

grant select, update on shared_events.tick_lock to {system};
grant select, insert, delete on shared_events.tick to {system};
-- Also where the clock was set back, the next tick has to come behind those that a sink has seen.
grant usage, select, update on sequence shared_events.tick_seq to {system};
grant select, insert, delete on shared_events.seal to {system};
grant select, update on shared_events.upkeep to {system};
