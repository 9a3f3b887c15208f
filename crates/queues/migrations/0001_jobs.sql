-- A job's body stays where it is from enqueue to completion. What moves is its id: `ready` or `scheduled`, then in
-- the lease of a worker, then gone. A claim of fifty jobs deletes fifty narrow rows and writes one.

-- Ids are taken with the COMMIT of the enqueuing transaction, so their order is about the order of commits.
create sequence shared_queues.job_order;
grant usage on sequence shared_queues.job_order to {app}, {system};

create table shared_queues.body (
    id bigint primary key,
    tenant_id uuid not null,
    job_id uuid not null,               -- what the producer knows it by
    queue text collate "C" not null,
    name text collate "C" not null,
    version integer not null,           -- of the payload
    payload text not null,              -- JSON
    context text not null,              -- JSON: tenant, actor, correlation, traceparent
    due_at timestamptz not null,        -- when the first attempt was to start
    attempts integer not null default 0,-- that failed; written on failure alone
    crashes integer not null default 0  -- of workers that held it
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

create table shared_queues.ready (
    queue text collate "C" not null,
    id bigint not null,
    tenant_id uuid not null,
    primary key (queue, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

create table shared_queues.scheduled (
    queue text collate "C" not null,
    due_at timestamptz not null,
    id bigint not null,
    tenant_id uuid not null,
    primary key (queue, due_at, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- One row for each start of a worker. Whose row is gone has lost its jobs.
create table shared_queues.worker (
    incarnation uuid primary key,
    started_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
) with (fillfactor = 50);

-- One row for each claimed batch; its ids leave it as they are settled. (worker, claim) is the fence.
create table shared_queues.lease (
    worker uuid not null,
    claim bigint not null,
    ids bigint[] not null,
    primary key (worker, claim)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

create table shared_queues.dead (
    job_id uuid primary key,
    tenant_id uuid not null,
    queue text collate "C" not null,
    name text collate "C" not null,
    version integer not null,
    payload text not null,
    context text not null,
    attempts integer not null,
    crashes integer not null,
    reason text not null,               -- failed, exhausted, crashed, unreadable
    error text not null,
    died_at timestamptz not null default clock_timestamp()
);
create index dead_by_time on shared_queues.dead (died_at);
create index dead_by_name on shared_queues.dead (name, died_at);

-- A tenant's transaction may add jobs of its own tenant, and look at none. Everything else is the system role's.
-- No unique index tells of another tenant: ids come from the sequence, job ids are random.
do $make$
declare
    one text;
begin
    foreach one in array array['body', 'ready', 'scheduled', 'dead'] loop
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
end $make$;
grant select, insert, update, delete on all tables in schema shared_queues to {system};
revoke all on shared_queues.migration from {system};

-- Completes a job in the transaction of its handler: the effect and the completion commit together, or neither does.
--
-- The lock makes a rescue wait for this transaction, and this transaction for a rescue, while handlers of one batch
-- don't wait for each other. The id stays in the lease until the worker settles it.
create function shared_queues.complete(holder uuid, held_claim bigint, job bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $function$
begin
    perform 1 from shared_queues.lease
      where worker = holder and claim = held_claim and ids @> array[job] for share;
    if found then
        delete from shared_queues.body where id = job;
    end if;
    if not found then
        raise exception 'this worker no longer holds the job, or it is complete' using errcode = 'SQ001';
    end if;
end $function$;
create policy complete_reads on shared_queues.body for select to {owner}
 using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy complete on shared_queues.body for delete to {owner}
 using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
revoke all on function shared_queues.complete(uuid, bigint, bigint) from public;
grant execute on function shared_queues.complete(uuid, bigint, bigint) to {app};
