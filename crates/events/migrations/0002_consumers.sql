-- What each consumer has done: the mark commits together with the effect, so the effect happens once.
create table shared_events.inbox (
    tenant_id uuid not null,
    consumer text not null check (length(consumer) between 1 and 63),
    event_id uuid not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, consumer, event_id)
);
select shared_db.tenant_table('shared_events.inbox');
-- A mark that goes away is an effect that happens again.
revoke update, delete on shared_events.inbox from {app};

-- What a consumer could not do, and what waits behind it: the same tenant's events with the same key, in the order of `pos`.
create table shared_events.parked (
    tenant_id uuid not null,
    consumer text not null check (length(consumer) between 1 and 63),
    key text not null check (length(key) between 1 and 255),
    pos bigint not null,
    reason text,
    attempts integer not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, consumer, key, pos)
);
select shared_db.family_table('shared_events.parked');
