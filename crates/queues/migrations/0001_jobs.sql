-- A job's body stays where it is from enqueue to its end. What moves is its id: `ready`, `scheduled` or `waiting`, then in the lease
-- of a worker, then gone. A claim of fifty jobs deletes fifty narrow rows and writes one.

-- Positions are taken with the COMMIT of the enqueuing transaction, so their order is about the order of commits.
create sequence shared_queues.job_order;
grant usage on sequence shared_queues.job_order to {app}, {system};

create table shared_queues.body (
    job_id uuid primary key,
    position bigint not null,           -- the job's place among the others; it keeps it when it is tried again
    tenant_id uuid not null,
    queue text collate "C" not null,
    name text collate "C" not null,
    version integer not null,           -- of the payload
    payload text not null,              -- JSON
    context text not null,              -- JSON: tenant, actor, correlation, traceparent
    band smallint not null,             -- 0 high, 1 normal, 2 low
    enqueued_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null,
    attempts integer not null default 0,-- that failed; written on failure alone
    crashes integer not null default 0, -- of workers that held it
    error text,                         -- of the last failed attempt
    lane uuid,                          -- where it waits to be admitted; null without order and limits
    order_key text collate "C",
    limits text[] collate "C"           -- names, a key behind U+0001
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

create table shared_queues.ready (
    queue text collate "C" not null,
    band smallint not null,
    tenant_id uuid not null,
    position bigint not null,
    job_id uuid not null,
    gated boolean not null default false,   -- it was admitted from a lane
    primary key (queue, band, tenant_id, position)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

create table shared_queues.scheduled (
    queue text collate "C" not null,
    due_at timestamptz not null,        -- that of the body
    position bigint not null,
    band smallint not null,
    tenant_id uuid not null,
    job_id uuid not null,
    lane uuid,
    ordered boolean not null default false,
    limits text[] collate "C",
    primary key (queue, due_at, position)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- One row for each start of a worker. Whose row is gone has lost its jobs.
create table shared_queues.worker (
    incarnation uuid primary key,
    started_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
) with (fillfactor = 50);

-- How far running jobs are, in the words of their handlers.
create table shared_queues.progress (
    worker uuid not null,
    job_id uuid not null,
    part float8 not null,
    note text not null,
    primary key (worker, job_id)
) with (fillfactor = 50);

-- One row for each claimed batch; its ids leave it as they are settled. (worker, claim) is the fence.
create table shared_queues.lease (
    worker uuid not null,
    claim bigint not null,
    queue text collate "C" not null,
    ids uuid[] not null,
    gated boolean not null,             -- some of them were admitted from lanes
    primary key (worker, claim)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- Running jobs that somebody wants to end.
create table shared_queues.cancelling (job_id uuid primary key);

create table shared_queues.dead (
    job_id uuid primary key,
    tenant_id uuid not null,
    queue text collate "C" not null,
    name text collate "C" not null,
    version integer not null,
    payload text not null,
    context text not null,
    band smallint not null,
    order_key text collate "C",
    limits text[] collate "C",
    enqueued_at timestamptz not null,
    due_at timestamptz not null,
    attempts integer not null,
    crashes integer not null,
    reason text not null,               -- failed, exhausted, crashed, unreadable
    error text not null,
    died_at timestamptz not null default clock_timestamp()
);
create index dead_by_time on shared_queues.dead (died_at);
create index dead_by_queue on shared_queues.dead (queue, died_at);

-- Completed and cancelled jobs that are to be remembered.
create table shared_queues.finished (
    job_id uuid primary key,
    tenant_id uuid not null,
    queue text collate "C" not null,
    name text collate "C" not null,
    version integer not null,
    band smallint not null,
    enqueued_at timestamptz not null,
    due_at timestamptz not null,
    attempts integer not null,
    crashes integer not null,
    state text not null,                -- completed, cancelled
    result text,                        -- JSON
    error text,
    ended_at timestamptz not null default clock_timestamp(),
    until timestamptz not null
);
create index finished_by_queue on shared_queues.finished (queue, until);
create index finished_by_time on shared_queues.finished (ended_at);

-- What operators set for a queue.
create table shared_queues.queue (
    name text collate "C" primary key,
    paused boolean not null default false,
    concurrency integer,
    rate_count integer,
    rate_period float8,                 -- seconds
    rate_burst integer,
    tokens float8 not null default 'infinity',
    filled_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- And for a tenant in it.
create table shared_queues.share (
    queue text collate "C" not null,
    tenant_id uuid not null,
    paused boolean not null default false,
    weight integer not null default 1 check (weight between 1 and 100),
    primary key (queue, tenant_id)
);

-- What handlers did to the world outside, once for all attempts of a job.
create table shared_queues.effect (
    tenant_id uuid not null,
    job_id uuid not null,
    name text not null,
    result text not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, job_id, name)
);
create index effect_by_time on shared_queues.effect (at);
select shared_db.family_table('shared_queues.effect');

-- A tenant's transaction may add jobs of its own tenant, and look at none. Everything else is the system role's, and that of
-- functions which belong to the owner and see one tenant. No unique index tells of another tenant: positions come from the
-- sequence, job ids are random.
do $make$
declare
    one text;
begin
    foreach one in array array['body', 'ready', 'scheduled', 'dead', 'finished', 'share'] loop
        execute format('alter table shared_queues.%I enable row level security', one);
        execute format('alter table shared_queues.%I force row level security', one);
        execute format('create policy system on shared_queues.%I for all to {system} using (true) with check (true)', one);
    end loop;
    foreach one in array array['body', 'ready', 'scheduled'] loop
        execute format($policy$
            create policy enqueue on shared_queues.%I for insert to {app}
            with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, one);
        execute format('grant insert on shared_queues.%I to {app}', one);
    end loop;
    foreach one in array array['body', 'ready', 'scheduled', 'finished'] loop
        execute format($policy$
            create policy own_tenant on shared_queues.%I for all to {owner}
            using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
            with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, one);
    end loop;
end $make$;
grant select, insert, update, delete on all tables in schema shared_queues to {system};
revoke all on shared_queues.migration from {system};

-- Completes a job in the transaction of its handler: the effect and the completion commit together, or neither does.
--
-- The lock makes a rescue wait for this transaction, and this transaction for a rescue, while handlers of one batch don't wait for
-- each other. The id stays in the lease until the worker settles it, which also frees its places in its limits. `keep` is for how
-- many milliseconds it is remembered.
create function shared_queues.complete(holder uuid, held_claim bigint, job uuid, keep bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $function$
declare
    done record;
begin
    perform 1 from shared_queues.lease
      where worker = holder and claim = held_claim and ids @> array[job] for share;
    if found then
        if keep > 0 then
            insert into shared_queues.finished
                   (job_id, tenant_id, queue, name, version, band, enqueued_at, due_at, attempts, crashes, state, error, until)
            select b.job_id, b.tenant_id, b.queue, b.name, b.version, b.band, b.enqueued_at, b.due_at, b.attempts, b.crashes,
                   'completed', b.error, clock_timestamp() + keep * interval '1 millisecond'
              from shared_queues.body b where b.job_id = job;
        end if;
        delete from shared_queues.body where job_id = job
        returning lane, order_key is not null as ordered, limits into done;
        if found then
            if done.lane is not null then
                insert into shared_queues.completed (job_id, lane, ordered, limits) values (job, done.lane, done.ordered, done.limits);
            end if;
            return;
        end if;
    end if;
    raise exception 'this worker no longer holds the job, or it is complete' using errcode = 'SQ001';
end $function$;
revoke all on function shared_queues.complete(uuid, bigint, uuid, bigint) from public;
grant execute on function shared_queues.complete(uuid, bigint, uuid, bigint) to {app};

-- For jobs whose lease is elsewhere: goes out with the COMMIT, and refuses it once the worker's lease may be over. `moment` is by the
-- clock of this server, in microseconds since 1970: whatever stops the worker before its COMMIT arrives, this clock goes on.
create function shared_queues.commit_before(moment bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    if extract(epoch from clock_timestamp()) * 1000000 > moment then
        raise exception 'the lease of this worker may be over, and the job another''s' using errcode = 'SQ001';
    end if;
end $function$;
revoke all on function shared_queues.commit_before(bigint) from public;
grant execute on function shared_queues.commit_before(bigint) to {app};
