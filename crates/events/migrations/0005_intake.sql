-- What comes from elsewhere: from a broker's streams, to consumers of this program, or from another database's log, into this one.

-- How far the readers of a broker have come in a lane: `mark` is the broker's own word for the last event that is done. One reader at a
-- time owns the lane, under a lease; `epoch` counts the owners, and a write that names an older one touches no row. What the broker has
-- behind the mark, and since when, is what the reader saw last.
create table shared_events.intake (
    subscription text collate "C" not null references shared_events.subscription (name) on delete cascade,
    lane smallint not null check (lane between 0 and 15),
    mark text,
    epoch bigint not null default 0,
    owner uuid,
    expires timestamptz not null default '-infinity',
    moved timestamptz not null default clock_timestamp(),
    waiting bigint not null default 0,
    oldest timestamptz,
    primary key (subscription, lane)
) with (fillfactor = 50);

-- What a consumer has done of events that come in no order, one row an event. It is kept for longer than the broker may bring an event
-- again, and then pruned: `at` is for that.
create table shared_events.inbox (
    tenant_id uuid not null,
    subscription text collate "C" not null check (length(subscription) between 1 and 63),
    consumer text collate "C" not null check (length(consumer) between 1 and 63),
    event_id uuid not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subscription, consumer, event_id)
);
create index inbox_at on shared_events.inbox (at);
select shared_db.family_table('shared_events.inbox');
-- A mark that goes away is an effect that happens again.
revoke update, delete on shared_events.inbox from {app};

-- How far another database's log has been brought into this one. It moves with the events, in one transaction; the system role writes
-- them, as it does what is delayed.
create table shared_events.received (
    source text collate "C" not null check (length(source) between 1 and 63),
    lane smallint not null check (lane between 0 and 15),
    tick bigint not null default 0,
    pos bigint not null default 0,
    moved timestamptz not null default clock_timestamp(),
    primary key (source, lane)
) with (fillfactor = 50);

grant select, insert, update, delete on shared_events.intake, shared_events.received to {system};
