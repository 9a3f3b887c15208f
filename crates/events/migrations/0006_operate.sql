-- What operators threw away, and why they did. A few hundred bytes for each event; it stays, as the account of what never happened.
create table shared_events.discarded (
    tenant_id uuid not null,
    subscription text not null,
    consumer text not null,
    key text not null,
    pos bigint not null,
    event_id uuid not null,
    name text not null,
    reason text,
    why text not null check (length(why) between 1 and 1000),
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subscription, consumer, key, pos)
);
select shared_db.family_table('shared_events.discarded');

-- A projection is built in generations, each fed by a subscription. Readers use the live one; another may be built beside it. They ask in
-- their own transactions which one that is, so the switch is one commit for all of them.
create table shared_events.projection (
    name text primary key check (length(name) between 1 and 50),
    live integer not null default 1 check (live > 0),
    fed_by text not null check (length(fed_by) between 1 and 63),
    building integer check (building > live),
    switched timestamptz
);
grant select on shared_events.projection to {app};
grant select, insert, update, delete on shared_events.projection to {system};
