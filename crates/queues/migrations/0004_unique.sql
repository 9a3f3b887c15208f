-- Which job counts for others that are the same. A mark outlives its job: one whose job is gone marks nothing, and is pruned.
create table shared_queues.mark (
    tenant_id uuid not null,
    queue text collate "C" not null,
    name text collate "C" not null,
    key text collate "C" not null,
    job_id uuid not null,
    until timestamptz not null default '-infinity',     -- while it counts whatever becomes of the job
    primary key (tenant_id, queue, name, key)
) with (fillfactor = 80);
alter table shared_queues.mark enable row level security;
alter table shared_queues.mark force row level security;
create policy system on shared_queues.mark for all to {system} using (true) with check (true);
create policy own_tenant on shared_queues.mark for all to {owner}
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
grant select, insert, update, delete on shared_queues.mark to {system};

-- Enqueues jobs that may be the same as others, and others among them, which have no rule. A job whose mark is locked by another transaction waits for its end: so of producers that
-- run at once one is the first. Marks are locked in one order; each step is a statement of its own, so it sees what the lock waited for.
-- `orders` and `limits` may be null; `limits` and `uniques` are JSON: a list of keys, and rule, milliseconds and key.
create function shared_queues.enqueue_unique(
    tenants uuid[], ids uuid[], queues text[], names text[], versions integer[], payloads text[], contexts text[], bands smallint[],
    delays bigint[], orders text[], limits text[], uniques text[]) returns table (place bigint, answer text, job uuid)
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    new record;
    mark record;
    is_first boolean;
begin
    for new in
        select n.position, n.tenant_id, n.job_id, n.queue, n.name, n.version, n.payload, n.context, n.band, n.delay, n.order_key,
               case when n.limits is not null then array(select jsonb_array_elements_text(n.limits::jsonb)) end as limits,
               n.rule::jsonb ->> 0 as rule, n.rule::jsonb ->> 2 as key, n.place,
               clock_timestamp() + n.delay * interval '1 millisecond' as due_at,
               case when n.rule::jsonb ->> 0 = 'throttle'
                    then clock_timestamp() + (n.rule::jsonb ->> 1)::bigint * interval '1 millisecond' else '-infinity' end as until
          -- Their positions are in the order in which they were given.
          from (select nextval('shared_queues.job_order') as position, u.tenant_id, u.job_id, u.queue, u.name, u.version, u.payload, u.context,
                       u.band, u.delay, u.order_key, u.limits, u.rule, u.place
                  from unnest(tenants, ids, queues, names, versions, payloads, contexts, bands, delays, orders, limits, uniques) with ordinality
                         as u (tenant_id, job_id, queue, name, version, payload, context, band, delay, order_key, limits, rule, place)) n
         order by n.tenant_id, n.queue collate "C", n.name collate "C", (n.rule::jsonb ->> 2) collate "C", n.place
    loop
        is_first := new.rule is null;
        while not is_first loop
            insert into shared_queues.mark (tenant_id, queue, name, key, job_id, until)
            values (new.tenant_id, new.queue, new.name, new.key, new.job_id, new.until) on conflict do nothing;
            is_first := found;
            exit when is_first;
            select m.job_id, m.until into mark from shared_queues.mark m
             where m.tenant_id = new.tenant_id and m.queue = new.queue and m.name = new.name and m.key = new.key for update;
            -- Else it was pruned in between.
            exit when found;
        end loop;
        place := new.place;
        answer := null;
        if new.rule is null then
            job := new.job_id;
            answer := case when exists (select from shared_queues.body b where b.job_id = new.job_id) then 'existing' end;
        elsif not is_first then
            job := mark.job_id;
            if new.rule = 'throttle' then
                answer := case when mark.until > clock_timestamp() then 'existing' end;
            elsif new.rule = 'existing' then
                answer := case when exists (select from shared_queues.body b where b.job_id = mark.job_id) then 'existing' end;
            elsif shared_queues.replace_pending(mark.job_id, new.version, new.payload, new.context,
                                                case when new.rule = 'debounce' then new.delay end) then
                answer := 'replaced';
            end if;
            if answer is null then
                update shared_queues.mark m set job_id = new.job_id, until = new.until
                 where m.tenant_id = new.tenant_id and m.queue = new.queue and m.name = new.name and m.key = new.key;
            end if;
        end if;
        if answer is null then
            answer := 'inserted';
            job := new.job_id;
            insert into shared_queues.body
                   (job_id, position, tenant_id, queue, name, version, payload, context, band, due_at, lane, order_key, limits)
            values (new.job_id, new.position, new.tenant_id, new.queue, new.name, new.version, new.payload,
                    new.context, new.band, new.due_at,
                    shared_queues.lane_of(new.queue, new.tenant_id, new.order_key, new.limits), new.order_key, new.limits);
            perform shared_queues.enter(new.job_id, new.delay > 0);
        end if;
        return next;
    end loop;
end $function$;

-- Puts a job where it waits: for its time, in its lane, or for a worker.
create function shared_queues.enter(job uuid, is_delayed boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    b record;
begin
    select w.queue, w.due_at, w.position, w.band, w.tenant_id, w.lane, w.order_key is not null as ordered, w.limits into strict b
      from shared_queues.body w where w.job_id = job;
    if is_delayed then
        insert into shared_queues.scheduled (queue, due_at, position, band, tenant_id, job_id, lane, ordered, limits)
        values (b.queue, b.due_at, b.position, b.band, b.tenant_id, job, b.lane, b.ordered, b.limits);
    elsif b.lane is null then
        insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
        values (b.queue, b.band, b.tenant_id, b.position, job);
    else
        insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
        values (b.lane, b.position, b.queue, b.band, b.tenant_id, job, b.ordered, b.due_at, b.limits);
        insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
        values (b.queue, b.position, b.tenant_id, b.ordered, array[b.lane]);
    end if;
end $function$;

-- Gives a job that nobody has claimed another payload, and another time unless `new_delay` is null. Whether it was in time. The row by which
-- it waits is locked first, in the order in which jobs move: so a job that is claimed meanwhile is found nowhere.
create function shared_queues.replace_pending(job uuid, new_version integer, new_payload text, new_context text, new_delay bigint)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    b record;
    is_scheduled boolean;
    is_waiting boolean := false;
    was_admitted boolean := false;
    moves boolean;
begin
    select w.queue, w.due_at, w.position, w.band, w.tenant_id, w.lane, w.order_key is not null as ordered, w.limits into b
      from shared_queues.body w where w.job_id = job;
    if not found then
        return false;
    end if;
    perform 1 from shared_queues.scheduled s
      where s.queue = b.queue and s.due_at = b.due_at and s.position = b.position for update;
    is_scheduled := found;
    if not is_scheduled and b.lane is not null then
        perform 1 from shared_queues.waiting w where w.lane = b.lane and w.position = b.position for update;
        is_waiting := found;
    end if;
    if not (is_scheduled or is_waiting) then
        select r.gated into was_admitted from shared_queues.ready r
         where r.queue = b.queue and r.band = b.band and r.tenant_id = b.tenant_id and r.position = b.position for update;
        if not found then
            return false;
        end if;
    end if;
    moves := new_delay is not null and (new_delay > 0 or is_scheduled);
    update shared_queues.body w
       set version = new_version, payload = new_payload, context = new_context,
           due_at = case when moves then clock_timestamp() + new_delay * interval '1 millisecond' else w.due_at end
     where w.job_id = job;
    if moves then
        delete from shared_queues.scheduled s where s.queue = b.queue and s.due_at = b.due_at and s.position = b.position;
        delete from shared_queues.waiting w where w.lane = b.lane and w.position = b.position;
        delete from shared_queues.ready r
         where r.queue = b.queue and r.band = b.band and r.tenant_id = b.tenant_id and r.position = b.position;
        if is_waiting or was_admitted then
            -- The next claim looks at the lane, and frees the places: this may be a long transaction.
            insert into shared_queues.news (queue, position, tenant_id, ordered, lanes, freed, limits)
            values (b.queue, b.position, b.tenant_id, b.ordered, array[b.lane], was_admitted, b.limits);
        end if;
        perform shared_queues.enter(job, new_delay > 0);
    end if;
    return true;
end $function$;

-- The same for the tenant of the transaction.
create function shared_queues.enqueue_unique_own(
    ids uuid[], queues text[], names text[], versions integer[], payloads text[], contexts text[], bands smallint[],
    delays bigint[], orders text[], limits text[], uniques text[]) returns table (place bigint, answer text, job uuid)
language sql security definer set search_path = pg_catalog, pg_temp as $function$
    select e.place, e.answer, e.job
      from shared_queues.enqueue_unique(
               array_fill(nullif(current_setting('app.tenant_id', true), '')::uuid, array[cardinality(ids)]),
               ids, queues, names, versions, payloads, contexts, bands, delays, orders, limits, uniques) e
$function$;

do $make$
declare
    one text;
begin
    foreach one in array array[
        'enqueue_unique(uuid[], uuid[], text[], text[], integer[], text[], text[], smallint[], bigint[], text[], text[], text[])',
        'enter(uuid, boolean)', 'replace_pending(uuid, integer, text, text, bigint)'] loop
        execute format('revoke all on function shared_queues.%s from public', one);
        execute format('grant execute on function shared_queues.%s to {system}', one);
    end loop;
    one := 'enqueue_unique_own(uuid[], text[], text[], integer[], text[], text[], smallint[], bigint[], text[], text[], text[])';
    execute format('revoke all on function shared_queues.%s from public', one);
    execute format('grant execute on function shared_queues.%s to {app}', one);
end $make$;
