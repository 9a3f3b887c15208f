-- How jobs leave a worker's hands other than by a plain completion, which is a statement of the program. Each step of these functions is
-- a statement of its own, so it sees what a lock has waited for.

-- Puts jobs back as if they had not been claimed: ready again, or to the head of their lane. A body that is gone was completed by the
-- transaction of its handler. Whoever calls it frees their places.
create function shared_queues.put_back(jobs uuid[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    back bigint;
begin
    with held as materialized (
             select b.queue, b.band, b.tenant_id, b.position, b.job_id, b.lane, b.order_key is not null as ordered, b.limits
               from shared_queues.body b where b.job_id = any (jobs) for key share),
         ready as (
             insert into shared_queues.ready (queue, band, tenant_id, position, job_id)
             select h.queue, h.band, h.tenant_id, h.position, h.job_id from held h where h.lane is null),
         waiting as (
             insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
             select h.lane, h.position, h.queue, h.band, h.tenant_id, h.job_id, h.ordered, clock_timestamp(), h.limits
               from held h where h.lane is not null),
         news as (
             insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
             select h.queue, min(h.position), h.tenant_id, h.ordered, array_agg(distinct h.lane) from held h where h.lane is not null
              group by h.queue, h.tenant_id, h.ordered, h.position / 64)
    select count(*) into back from held;
    return back;
end $function$;

-- Of jobs that were held, and whose places are known, those end here that somebody wants cancelled: nothing is left of them, as of ones
-- that wait.
create function shared_queues.end_asked(jobs uuid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    with asked as (delete from shared_queues.cancelling where job_id = any (jobs) returning job_id)
    delete from shared_queues.body where job_id = any (array(select a.job_id from asked a));
end $function$;

-- A worker goes by itself: whatever it still holds can be claimed again.
create function shared_queues.retire(holder uuid) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    jobs uuid[];
begin
    delete from shared_queues.worker where incarnation = holder;
    delete from shared_queues.progress where worker = holder;
    with given as (delete from shared_queues.lease where worker = holder returning ids)
    select array_agg(j.id) into jobs from given cross join unnest(given.ids) as j (id);
    if jobs is null then
        return 0;
    end if;
    perform shared_queues.release(jobs);
    perform shared_queues.end_asked(jobs);
    return shared_queues.put_back(jobs);
end $function$;

-- The same for single claims of a worker that lives.
create function shared_queues.give_back(holder uuid, claims bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    jobs uuid[];
begin
    with given as (delete from shared_queues.lease where worker = holder and claim = any (claims) returning ids)
    select array_agg(j.id) into jobs from given cross join unnest(given.ids) as j (id);
    if jobs is null then
        return 0;
    end if;
    perform shared_queues.release(jobs);
    perform shared_queues.end_asked(jobs);
    return shared_queues.put_back(jobs);
end $function$;

-- Takes up to `most` leases apart whose workers are gone: of this queue, or of all if it is null.
create function shared_queues.rescue(most integer, crash_budget integer, words text, of_queue text,
                                     out leases bigint, out rescued bigint, out doomed bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    jobs uuid[];
    spared uuid[];
    lost uuid[];
    taken record;
begin
    with orphan as materialized (
             select l.ctid from shared_queues.lease l
              where not exists (select from shared_queues.worker w where w.incarnation = l.worker)
                and (of_queue is null or l.queue = of_queue)
              limit most for update skip locked),
         freed as (delete from shared_queues.lease where ctid = any (array(select o.ctid from orphan o)) returning ids)
    select count(*), array(select unnest(f.ids) from freed f) into leases, jobs from freed;
    select p.lanes, p.keys into taken from shared_queues.places(jobs) p;
    perform shared_queues.end_asked(jobs);
    with counted as (
             update shared_queues.body set crashes = crashes + 1 where job_id = any (jobs) returning job_id, crashes)
    select array_agg(c.job_id) filter (where c.crashes < crash_budget),
           array_agg(c.job_id) filter (where c.crashes >= crash_budget) into spared, lost from counted c;
    doomed := coalesce(cardinality(lost), 0);
    if doomed > 0 then
        perform shared_queues.bury(lost, array_fill('crashed'::text, array[doomed::integer]), array_fill(words, array[doomed::integer]));
    end if;
    rescued := coalesce(cardinality(spared), 0);
    perform shared_queues.put_back(coalesce(spared, '{}'));
    perform shared_queues.free(taken.lanes, taken.keys);
end $function$;

-- Makes jobs dead letters, with these reasons and texts.
create function shared_queues.bury(jobs uuid[], reasons text[], texts text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    with gone as (
             delete from shared_queues.body b using unnest(jobs, reasons, texts) as f (job_id, reason, words)
              where b.job_id = f.job_id
             returning b.job_id, b.tenant_id, b.queue, b.name, b.version, b.payload, b.context, b.band, b.order_key, b.limits,
                       b.enqueued_at, b.due_at, b.attempts + (f.reason not in ('unreadable', 'crashed'))::integer as attempts,
                       b.crashes, f.reason, f.words)
    insert into shared_queues.dead
           (job_id, tenant_id, queue, name, version, payload, context, band, order_key, limits, enqueued_at, due_at,
            attempts, crashes, reason, error)
    select g.job_id, g.tenant_id, g.queue, g.name, g.version, g.payload, g.context, g.band, g.order_key, g.limits,
           g.enqueued_at, g.due_at, g.attempts, g.crashes, g.reason, g.words from gone g;
end $function$;

-- Settles what the fence still holds, and returns those jobs. Fates are `completed`, `cancelled`, `retry`, `later` and `dead`; `waits`
-- are milliseconds until another attempt or for which it is remembered; `reasons` those of the dead; `texts` errors or results. What somebody
-- wants cancelled, and is not complete, ends as cancelled, and is remembered for so many milliseconds as `keeps` tells.
create function shared_queues.settle(holder uuid, jobs uuid[], claims bigint[], fates text[], waits bigint[], reasons text[],
                                     texts text[], keeps bigint[]) returns setof uuid
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    held uuid[];
    is_gated boolean;
    taken record;
    asked uuid[];
    lost uuid[];
    lost_reasons text[];
    lost_texts text[];
begin
    with lease as materialized (
             select l.claim, l.ids, l.gated from shared_queues.lease l
              where l.worker = holder and l.claim in (select distinct unnest(claims)) order by l.claim for update),
         ok as materialized (
             select l.claim, x.id from lease l, unnest(l.ids) as x (id)
             intersect select given.claim, given.id from unnest(claims, jobs) as given (claim, id)),
         rest as materialized (
             select l.claim, array(select unnest(l.ids) except select ok.id from ok where ok.claim = l.claim) as ids from lease l),
         gone as (
             delete from shared_queues.lease l using rest r where l.worker = holder and l.claim = r.claim and r.ids = '{}'),
         kept as (
             update shared_queues.lease l set ids = r.ids from rest r
              where l.worker = holder and l.claim = r.claim and r.ids <> '{}')
    select array_agg(ok.id), (select bool_or(l.gated) from lease l) into held, is_gated from ok;
    if held is null then
        return;
    end if;
    if is_gated then
        select p.lanes, p.keys into taken from shared_queues.places(held) p;
    end if;
    with gone as (delete from shared_queues.cancelling where job_id = any (held) returning job_id)
    select array_agg(g.job_id) into asked from gone g;
    if asked is not null then
        select array_agg(case when f.ends then 'cancelled' else f.fate end order by f.at),
               array_agg(case when f.ends then f.keep else f.wait end order by f.at),
               array_agg(case when f.ends then '' else f.words end order by f.at) into fates, waits, texts
          from (select u.fate, u.wait, u.words, u.keep, u.at,
                       u.job_id = any (asked) and u.fate in ('retry', 'later', 'dead') as ends
                  from unnest(jobs, fates, waits, texts, keeps) with ordinality as u (job_id, fate, wait, words, keep, at)) f;
    end if;

    with fate as materialized (
             select f.job_id, f.fate, f.wait, f.words from unnest(jobs, fates, waits, texts) as f (job_id, fate, wait, words)
              where f.fate in ('retry', 'later') and f.job_id = any (held)),
         back as (
             update shared_queues.body b
                set attempts = b.attempts + (f.fate = 'retry')::integer,
                    error = case when f.fate = 'retry' then f.words else b.error end,
                    due_at = clock_timestamp() + f.wait * interval '1 millisecond'
               from fate f where b.job_id = f.job_id
             returning b.queue, b.due_at, b.position, b.band, b.tenant_id, b.job_id, b.lane, b.order_key is not null as ordered, b.limits),
         -- None overtakes it: it waits for its time at the head of its lane.
         head as (
             insert into shared_queues.waiting (lane, position, queue, band, tenant_id, job_id, ordered, due_at, limits)
             select k.lane, k.position, k.queue, k.band, k.tenant_id, k.job_id, true, k.due_at, k.limits from back k where k.ordered)
    insert into shared_queues.scheduled (queue, due_at, position, band, tenant_id, job_id, lane, ordered, limits)
    select k.queue, k.due_at, k.position, k.band, k.tenant_id, k.job_id, k.lane, false, k.limits from back k where not k.ordered;

    with fate as materialized (
             select f.job_id, f.fate, f.keep, f.words from unnest(jobs, fates, waits, texts) as f (job_id, fate, keep, words)
              where f.fate in ('completed', 'cancelled') and f.job_id = any (held)),
         -- What its handler's transaction completed has no body any more, but may have a result.
         told as (
             update shared_queues.finished d set result = f.words
               from fate f where d.job_id = f.job_id and f.fate = 'completed' and f.words <> ''),
         gone as (
             delete from shared_queues.body b using fate f where b.job_id = f.job_id
             returning b.job_id, b.tenant_id, b.queue, b.name, b.version, b.band, b.enqueued_at, b.due_at, b.attempts, b.crashes,
                       b.error, f.fate, f.keep, f.words)
    insert into shared_queues.finished
           (job_id, tenant_id, queue, name, version, band, enqueued_at, due_at, attempts, crashes, state, result, error, until)
    select g.job_id, g.tenant_id, g.queue, g.name, g.version, g.band, g.enqueued_at, g.due_at, g.attempts, g.crashes, g.fate,
           nullif(g.words, ''), g.error, clock_timestamp() + g.keep * interval '1 millisecond'
      from gone g where g.keep > 0;

    select array_agg(f.job_id), array_agg(f.reason), array_agg(f.words) into lost, lost_reasons, lost_texts
      from unnest(jobs, fates, reasons, texts) as f (job_id, fate, reason, words)
     where f.fate = 'dead' and f.job_id = any (held);
    if lost is not null then
        perform shared_queues.bury(lost, lost_reasons, lost_texts);
    end if;
    if is_gated then
        perform shared_queues.free(taken.lanes, taken.keys);
    end if;
    return query select unnest(held);
end $function$;

-- Removes a job that waits, or asks for the end of one that runs; `removed`, `asked` or nothing. A job that moves on meanwhile is looked
-- for again where it may be now.
create function shared_queues.cancel(job uuid) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    b record;
    is_gone boolean;
    was_admitted boolean;
begin
    for attempt in 1..3 loop
        was_admitted := false;
        select w.queue, w.band, w.tenant_id, w.position, w.due_at, w.lane, w.order_key is not null as ordered into b
          from shared_queues.body w where w.job_id = job;
        if not found then
            return null;
        end if;
        delete from shared_queues.scheduled s where s.queue = b.queue and s.due_at = b.due_at and s.position = b.position;
        is_gone := found;
        if not is_gone and b.lane is not null then
            delete from shared_queues.waiting w where w.lane = b.lane and w.position = b.position;
            is_gone := found;
            if is_gone then
                -- The lane may have waited for this one's time.
                insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
                values (b.queue, b.position, b.tenant_id, b.ordered, array[b.lane]);
            end if;
        end if;
        if not is_gone then
            delete from shared_queues.ready r
             where r.queue = b.queue and r.band = b.band and r.tenant_id = b.tenant_id and r.position = b.position
            returning r.gated into was_admitted;
            is_gone := found;
        end if;
        if is_gone then
            if was_admitted then
                perform shared_queues.release(array[job]);
            end if;
            delete from shared_queues.body w where w.job_id = job;
            return 'removed';
        end if;
        -- Who settles it, or gives it back, comes before this or sees the request.
        perform 1 from shared_queues.lease l where l.queue = b.queue and l.ids @> array[job] for share;
        if found then
            insert into shared_queues.cancelling (job_id) values (job) on conflict do nothing;
            return 'asked';
        end if;
    end loop;
    return null;
end $function$;

-- Gives a job that is not due another time: a scheduled one, or one that waits at the head of an ordered lane to be tried again. Whether
-- there was one.
create function shared_queues.reschedule(job uuid, wait bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    b record;
    due timestamptz := clock_timestamp() + wait * interval '1 millisecond';
begin
    select w.queue, w.tenant_id, w.position, w.due_at, w.lane, w.order_key is not null as ordered into b
      from shared_queues.body w where w.job_id = job;
    if not found then
        return false;
    end if;
    update shared_queues.scheduled s set due_at = due where s.queue = b.queue and s.due_at = b.due_at and s.position = b.position;
    if not found then
        update shared_queues.waiting w set due_at = due
         where w.lane = b.lane and w.position = b.position and w.due_at > clock_timestamp();
        if not found then
            return false;
        end if;
        -- The lane may wait for the old time.
        insert into shared_queues.news (queue, position, tenant_id, ordered, lanes)
        values (b.queue, b.position, b.tenant_id, b.ordered, array[b.lane]);
    end if;
    update shared_queues.body w set due_at = due where w.job_id = job;
    return true;
end $function$;

-- Stores how far jobs are that the worker holds, and forgets those that it does not. Whether it lives.
create function shared_queues.renew(holder uuid, lease_time bigint, jobs uuid[], parts float8[], notes text[]) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    update shared_queues.worker set expires_at = clock_timestamp() + lease_time * interval '1 millisecond'
     where incarnation = holder;
    if not found then
        return false;
    end if;
    delete from shared_queues.progress p
     where p.worker = holder and not exists (select from shared_queues.lease l where l.worker = holder and l.ids @> array[p.job_id]);
    insert into shared_queues.progress (worker, job_id, part, note)
    select holder, n.job_id, n.part, n.note from unnest(jobs, parts, notes) as n (job_id, part, note)
     where exists (select from shared_queues.lease l where l.worker = holder and l.ids @> array[n.job_id])
        on conflict (worker, job_id) do update set part = excluded.part, note = excluded.note;
    return true;
end $function$;

do $make$
declare
    one text;
begin
    foreach one in array array['put_back(uuid[])', 'end_asked(uuid[])', 'retire(uuid)', 'give_back(uuid, bigint[])',
                               'rescue(integer, integer, text, text)', 'bury(uuid[], text[], text[])', 'cancel(uuid)', 'reschedule(uuid, bigint)',
                               'settle(uuid, uuid[], bigint[], text[], bigint[], text[], text[], bigint[])',
                               'renew(uuid, bigint, uuid[], float8[], text[])'] loop
        execute format('revoke all on function shared_queues.%s from public', one);
        execute format('grant execute on function shared_queues.%s to {system}', one);
    end loop;
end $make$;

-- How many of `most` jobs a claim may take by the queue's own limit. Claims of such a queue come one after the other: the row stays locked.
create function shared_queues.allow(of_queue text, most bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    q record;
    running bigint := 0;
begin
    select concurrency, rate_count, rate_period, rate_burst, tokens, filled_at into q
      from shared_queues.queue where name = of_queue for update;
    if q.concurrency is not null then
        select coalesce(sum(cardinality(ids)), 0) into running from shared_queues.lease where queue = of_queue;
        most := least(most, greatest(0, q.concurrency - running));
    end if;
    if q.rate_count is not null then
        q.tokens := least(q.rate_burst, q.tokens + greatest(0, extract(epoch from clock_timestamp() - q.filled_at)::float8)
                                                 * q.rate_count / q.rate_period);
        update shared_queues.queue set tokens = q.tokens, filled_at = clock_timestamp() where name = of_queue;
        most := least(most, floor(q.tokens + 1e-6)::bigint);
    end if;
    return most;
end $function$;
revoke all on function shared_queues.allow(text, bigint) from public;
grant execute on function shared_queues.allow(text, bigint) to {system};
