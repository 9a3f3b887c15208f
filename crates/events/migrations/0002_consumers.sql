-- A subscription reads the whole log once, lane by lane. Of `consumers` this program's functions are run; of a `sink` the events are
-- sent elsewhere. A replay reads what its filter lets pass, at its rate, and ends at a tick. An `intake` reads a broker in place of the
-- log, and a `group` what a broker shares among its readers.
create table shared_events.subscription (
    name text collate "C" primary key check (length(name) between 1 and 63),
    kind text not null default 'consumers' check (kind in ('consumers', 'sink', 'intake', 'group')),
    paused boolean not null default false,
    created timestamptz not null default clock_timestamp(),
    filter jsonb,
    ends bigint,
    rate real check (rate > 0),
    -- Of an intake of this database's own log: the name under which its consumers' positions are, and what they could not do.
    parked_under text collate "C" check (length(parked_under) between 1 and 63)
);

-- How far a subscription has come in a lane: it has passed every event up to `tick`, and of the next tick those up to `pos`. One relay
-- at a time owns the lane, under a lease; `epoch` counts the owners, and a write that names an older one touches no row.
create table shared_events.cursor (
    subscription text collate "C" not null references shared_events.subscription (name) on delete cascade,
    lane smallint not null check (lane between 0 and 15),
    tick bigint not null default 0,
    pos bigint not null default 0,
    epoch bigint not null default 0,
    owner uuid,
    expires timestamptz not null default '-infinity',
    moved timestamptz not null default clock_timestamp(),
    primary key (subscription, lane)
) with (fillfactor = 50);

-- The relays and intakes that are alive, for fair shares of the lanes, and what each says of itself. A relay that has left stays for a while, so that
-- a beat of its which was on its way does not bring it back.
create table shared_events.relay (
    subscription text collate "C" not null references shared_events.subscription (name) on delete cascade,
    owner uuid not null,
    expires timestamptz not null,
    started timestamptz not null default clock_timestamp(),
    host text not null,
    pid integer not null,
    state json,
    has_left boolean not null default false,
    primary key (subscription, owner)
) with (fillfactor = 50);

-- What a consumer has done of a tenant's events in a lane: all up to this place. It moves in the transaction of the effect, so the
-- effect happens once; and it is one row, whatever the number of events.
create table shared_events.position (
    tenant_id uuid not null,
    subscription text collate "C" not null check (length(subscription) between 1 and 63),
    consumer text collate "C" not null check (length(consumer) between 1 and 63),
    lane smallint not null,
    tick bigint not null default 0,
    pos bigint not null default 0,
    primary key (tenant_id, subscription, consumer, lane)
) with (fillfactor = 50);
select shared_db.family_table('shared_events.position');
-- A position that goes away is an effect that happens again.
revoke delete on shared_events.position from {app};

-- What a consumer could not do, or a sink not take, and what waits behind it: the same tenant's events with the same key, in the order
-- of `pos`. The head is `retrying`, due at `next_at`, or `dead`, until an operator redrives it; its followers are `waiting`. What
-- goes to a sink comes in again with a tick, which gives it a new place in the order: `tick` is its stamp. `sent` is what
-- the sink has taken then, which is kept for as long as it may have to be sent again; without a stamp, what an operator threw away, which is kept
-- for as long so that it is not.
create table shared_events.parked (
    tenant_id uuid not null,
    subscription text collate "C" not null check (length(subscription) between 1 and 63),
    consumer text collate "C" not null check (length(consumer) between 1 and 63),
    lane smallint not null,
    key text collate "C" not null check (length(key) between 1 and 255),
    pos bigint not null,
    xid xid8,
    event_id uuid not null,
    name text collate "C" not null,
    reason text,
    attempts integer not null default 0,
    state text not null check (state in ('retrying', 'waiting', 'dead', 'sent')),
    next_at timestamptz,
    tick bigint,
    -- The whole event, where it came from a broker and not from this log.
    envelope json,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subscription, consumer, key, pos),
    check ((state = 'retrying') = (next_at is not null))
) with (fillfactor = 70);
create index parked_due on shared_events.parked (subscription, next_at) where next_at is not null;
create index parked_stamped on shared_events.parked (subscription, tick) where tick is not null;
-- What was sent is kept for a while: what comes next of a key is found without a look at each of them.
create index parked_unsent on shared_events.parked (tenant_id, subscription, consumer, key, pos) where state <> 'sent';
select shared_db.family_table('shared_events.parked');

-- The timeline that the server writes; null where it is none of this kind.
create function shared_events.timeline() returns integer language plpgsql
set search_path = pg_catalog, pg_temp as $function$
begin
    return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
exception
    when feature_not_supported or undefined_function or insufficient_privilege then return null;
end $function$;
revoke all on function shared_events.timeline() from public;
grant execute on function shared_events.timeline() to {app}, {system};

-- How a turn begins: the consumer's position is locked, and made if it is not there; whoever else delivers the same waits here, and then
-- sees how far it has come. What is parked of the turn's keys is looked up in a statement of its own, whose snapshot is later than
-- the wait for the lock: whoever held it may have parked.
create function shared_events.begin_turn(of_tenant uuid, of_subscription text, of_consumer text, of_lane smallint, of_keys text[],
                                         of_tick bigint, of_timeline integer, out tick bigint, out pos bigint, out parked text[],
                                         out is_kept boolean, out is_same boolean) language plpgsql
set search_path = pg_catalog, pg_temp as $function$
begin
    loop
        select p.tick, p.pos into begin_turn.tick, begin_turn.pos from shared_events.position as p
         where p.tenant_id = of_tenant and p.subscription = of_subscription and p.consumer = of_consumer and p.lane = of_lane for update;
        exit when found;
        insert into shared_events.position (tenant_id, subscription, consumer, lane)
        values (of_tenant, of_subscription, of_consumer, of_lane) on conflict do nothing;
    end loop;
    begin_turn.parked := array(select distinct p.key from shared_events.parked as p
                                where p.tenant_id = of_tenant and p.subscription = of_subscription and p.consumer = of_consumer
                                  and p.key = any (of_keys));
    -- A tick that is gone was taken back: what it had cut off comes with another.
    begin_turn.is_kept := of_tick is null or exists (select from shared_events.tick as t where t.tick = of_tick);
    -- On another timeline the position may be behind what this process knows to be done, and it would be moved past that.
    begin_turn.is_same := of_timeline is null or of_timeline is not distinct from shared_events.timeline();
end $function$;
revoke all on function shared_events.begin_turn(uuid, text, text, smallint, text[], bigint, integer) from public;
grant execute on function shared_events.begin_turn(uuid, text, text, smallint, text[], bigint, integer) to {app};
grant select (tick) on shared_events.tick to {app};

grant select, insert, update, delete on shared_events.subscription, shared_events.cursor, shared_events.relay to {system};
