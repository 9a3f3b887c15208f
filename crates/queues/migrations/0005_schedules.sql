-- Jobs by the calendar. Whoever moves `next` on enqueues the job, in one transaction.
create table shared_queues.schedule (
    queue text collate "C" not null,
    name text collate "C" not null,
    cron text not null,
    zone text not null,
    missed text not null,               -- skip, once, each
    paused boolean not null,
    next timestamptz not null,          -- the slot that comes next
    due_at timestamptz not null,        -- when somebody looks at it: that slot, or later after it could not be fired
    tenant_id uuid not null,
    job_name text not null,
    version integer not null,
    payload text not null,
    context text not null,
    band smallint not null,
    delay bigint not null,              -- milliseconds
    order_key text,
    limits text,                        -- JSON
    unique_rule text,                   -- JSON
    primary key (queue, name)
) with (fillfactor = 80);
create index schedule_due on shared_queues.schedule (queue, due_at) where not paused;
alter table shared_queues.schedule enable row level security;
alter table shared_queues.schedule force row level security;
create policy system on shared_queues.schedule for all to {system} using (true) with check (true);
grant select, insert, update, delete on shared_queues.schedule to {system};
