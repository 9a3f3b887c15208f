-- What operators threw away, and why they did. A few hundred bytes for each event; it stays, as the account of what never happened.
create table shared_events.discarded (
    tenant_id uuid not null,
    subscription text collate "C" not null,
    consumer text collate "C" not null,
    key text collate "C" not null,
    pos bigint not null,
    event_id uuid not null,
    name text collate "C" not null,
    reason text,
    why text not null check (length(why) between 1 and 1000),
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subscription, consumer, key, pos)
);
select shared_db.family_table('shared_events.discarded');

-- A projection is built in generations, each fed by a subscription. Readers use the live one; another may be built beside it. They ask in
-- their own transactions which one that is, so the switch is one commit for all of them.
create table shared_events.projection (
    name text collate "C" primary key check (length(name) between 1 and 50),
    live integer not null default 1 check (live > 0),
    fed_by text collate "C" not null check (length(fed_by) between 1 and 63),
    building integer check (building > live),
    switched timestamptz
);
grant select on shared_events.projection to {app};
grant select, insert, update, delete on shared_events.projection to {system};

-- After another server has taken the log on, its transaction counter raised: what was published there before looks like what the newest tick
-- has seen long ago, and was yet written after it. It gets the transaction id of whoever calls this, which no tick has seen. Returns
-- how many events that were. Nobody publishes until the transaction ends.
create function shared_events.restamp() returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp as $function$
declare
    newest record;
    restamped bigint;
begin
    select t.snap, t.at into newest from shared_events.tick t order by t.tick desc limit 1;
    alter table only shared_events.log no force row level security;
    alter table only shared_events.log disable trigger append_only;
    update shared_events.log l set xid = pg_current_xact_id() where l.at > newest.at and pg_visible_in_snapshot(l.xid, newest.snap);
    get diagnostics restamped = row_count;
    alter table only shared_events.log enable trigger append_only;
    alter table only shared_events.log force row level security;
    return restamped;
end $function$;
revoke all on function shared_events.restamp() from public;
grant execute on function shared_events.restamp() to {system};
