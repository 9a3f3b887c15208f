-- Lanes: where jobs with an ordering key or with limits wait until a claim admits them. Jobs without pay nothing for it.
--
-- Producers only insert: the job into `waiting`, and a line of `news` that makes the next claim open the lane. A job that was admitted takes
-- places in its limits, and its lane's one place if that is ordered, as long as it is ready or held: whoever takes it out of there frees them.
-- Locks are taken in one order: lanes, then limits by key. Behind limits no lane is waited for: an admission may have locked one that was just
-- blocked, or that is busy with the job which frees the limit, and wait for this limit itself.

create table shared_queues.waiting (
    lane uuid not null,
    position bigint not null,
    queue text collate "C" not null,
    band smallint not null,
    tenant_id uuid not null,
    job_id uuid not null,
    ordered boolean not null,
    due_at timestamptz not null,        -- in the future for a job of an ordered lane that is tried again
    limits text[] collate "C",
    primary key (lane, position)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- Lanes of a tenant that may have changed. Of what one statement enqueues the lanes of up to 64 jobs share a row: a row for each job took a fifth
-- of an admission's time. That many fit into a page a few times over.
create table shared_queues.news (
    queue text collate "C" not null,
    position bigint not null,               -- of the first job
    tenant_id uuid not null,
    ordered boolean not null,
    lanes uuid[] not null check (cardinality(lanes) > 0 and array_ndims(lanes) = 1 and cardinality(lanes) <= 64 and array_position(lanes, null) is null),
    freed boolean not null default false,   -- its job was admitted, and was put off before a worker took it: its places are free
    limits text[] collate "C"               -- of a freed one
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index news_in_order on shared_queues.news (queue, position);

-- open: may be looked at. blocked: on a limit. timed: until its oldest job is due. paused: with its tenant. busy: its one job is admitted.
-- A lane with nothing to do has no row.
create sequence shared_queues.lane_turn;
grant usage on sequence shared_queues.lane_turn to {system};
create table shared_queues.lane (
    id uuid primary key,
    queue text collate "C" not null,
    tenant_id uuid not null,
    ordered boolean not null,           -- one job at a time
    state text collate "C" not null,
    turn bigint not null,               -- when it was served last
    opens_at timestamptz,
    blocked_on text collate "C"
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index lane_open on shared_queues.lane (queue, turn) where state = 'open';
create index lane_timed on shared_queues.lane (queue, opens_at) where state = 'timed';
create index lane_blocked on shared_queues.lane (blocked_on, turn) where state = 'blocked';
create index lane_paused on shared_queues.lane (queue, tenant_id) where state = 'paused';

-- Jobs that the transaction of their handler has completed, and whose places their worker has still to free.
create table shared_queues.completed (
    job_id uuid primary key,
    lane uuid not null,
    ordered boolean not null,
    limits text[] collate "C"
);

-- What operators set: for a name, or for one key of it.
create table shared_queues.limit_setting (
    limit_key text collate "C" primary key,
    name text collate "C" not null,
    key text collate "C",
    is_set boolean not null default false,
    concurrency integer,
    rate_count integer,
    rate_period float8,                 -- seconds
    rate_burst integer,
    held_until timestamptz not null default '-infinity'
);

-- The use of each limit.
create table shared_queues.limit_use (
    limit_key text collate "C" primary key,
    name text collate "C" not null,
    running integer not null default 0,
    tokens float8 not null default 'infinity',
    filled_at timestamptz not null default clock_timestamp(),
    opens_at timestamptz                -- when lanes that are blocked on it may have room
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index limit_use_opens on shared_queues.limit_use (opens_at) where opens_at is not null;
create index limit_use_of_name on shared_queues.limit_use (name, limit_key);

do $make$
declare
    one text;
begin
    foreach one in array array['waiting', 'news', 'lane'] loop
        execute format('alter table shared_queues.%I enable row level security', one);
        execute format('alter table shared_queues.%I force row level security', one);
        execute format('create policy system on shared_queues.%I for all to {system} using (true) with check (true)', one);
    end loop;
    foreach one in array array['waiting', 'news'] loop
        execute format('grant insert on shared_queues.%I to {app}', one);
        execute format($policy$
            create policy own_tenant on shared_queues.%I for all to {owner}
            using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
            with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, one);
    end loop;
    -- A transaction may tell of its jobs. That places are free is said by the functions.
    create policy enqueue on shared_queues.waiting for insert to {app}
        with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
    create policy enqueue on shared_queues.news for insert to {app}
        with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and not freed);
    foreach one in array array['waiting', 'news', 'lane', 'completed', 'limit_setting', 'limit_use'] loop
        execute format('grant select, insert, update, delete on shared_queues.%I to {system}', one);
    end loop;
end $make$;

-- The identity of a lane: of a tenant in a queue the ordering key or else the limits. A hash, so that long keys don't fill the indexes.
create function shared_queues.lane_of(queue text, tenant uuid, order_key text, limits text[]) returns uuid
language sql stable set search_path = pg_catalog, pg_temp as $function$
    select case when order_key is not null or limits is not null then
        encode(substring(sha256(convert_to(
            case when order_key is null then 'l' else 'o' end || chr(2) || queue || chr(2) || tenant::text || chr(2)
                || coalesce(order_key, array_to_string(limits, chr(2))), 'UTF8')) for 16), 'hex')::uuid end
$function$;

-- How many more jobs each of these limits lets through, a million if it does not limit, and, if there is none, when there will be. A key's own
-- setting goes before its name's, and a hold of either holds it.
create function shared_queues.rooms(keys text[]) returns table (limit_key text, room integer, opens_at timestamptz, left_over float8)
language sql stable set search_path = pg_catalog, pg_temp as $function$
    select r.limit_key,
           case when r.held_until > r.now then 0
                else greatest(0, least(coalesce(r.concurrency - r.running, 1000000), floor(coalesce(r.tokens, 1000000) + 1e-6)))::integer end,
           case when r.held_until > r.now then r.held_until
                when r.concurrency <= r.running then null
                when r.tokens < 1 then r.now + (1 - r.tokens) * r.rate_period / r.rate_count * interval '1 second' end,
           coalesce(r.tokens, 'infinity')
      from (select u.limit_key, u.running, clock.now, s.concurrency, s.rate_count, s.rate_period, greatest(own.held_until, name.held_until) as held_until,
                   case when s.rate_count is not null
                        then least(s.rate_burst, u.tokens + greatest(0, extract(epoch from clock.now - u.filled_at)::float8)
                                                          * s.rate_count / s.rate_period) end as tokens
              from (select clock_timestamp() as now) clock
             cross join unnest(keys) as wanted (limit_key)
             cross join lateral (select l.limit_key, l.name, l.running, l.tokens, l.filled_at
                                   from shared_queues.limit_use l where l.limit_key = wanted.limit_key) u
              left join lateral (select k.is_set, k.concurrency, k.rate_count, k.rate_period, k.rate_burst, k.held_until
                                   from shared_queues.limit_setting k where k.limit_key = u.limit_key limit 1) own on true
              left join lateral (select k.is_set, k.concurrency, k.rate_count, k.rate_period, k.rate_burst, k.held_until
                                   from shared_queues.limit_setting k where k.limit_key = u.name limit 1) name on true
             cross join lateral (select case when own.is_set then own.concurrency when name.is_set then name.concurrency end as concurrency,
                                        case when own.is_set then own.rate_count when name.is_set then name.rate_count end as rate_count,
                                        case when own.is_set then own.rate_period when name.is_set then name.rate_period end as rate_period,
                                        case when own.is_set then own.rate_burst when name.is_set then name.rate_burst end as rate_burst) s) r
$function$;

-- Opens as many of the lanes that are blocked on these limits as there is room for. Whoever calls it has locked the limits, so it waits for
-- no lane: where one is locked by somebody else another one is opened in its stead, or the next claim looks again.
-- One that finds nothing to admit wakes others in its stead, by its own claim; and should that be in a queue without workers, all are
-- looked at again after a second.
create function shared_queues.wake(keys text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    if not exists (select from unnest(keys) as k (limit_key)
                    where exists (select from shared_queues.lane l where l.blocked_on = k.limit_key and l.state = 'blocked')
                       or exists (select from shared_queues.limit_use u where u.limit_key = k.limit_key and u.opens_at is not null)) then
        return;
    end if;
    with room as materialized (select r.limit_key, r.room, least(r.room, 100) as most, r.opens_at from shared_queues.rooms(keys) r),
         woken as materialized (
             select r.limit_key, l.id from room r
              cross join lateral (select b.id from shared_queues.lane b
                                   where b.blocked_on = r.limit_key and b.state = 'blocked'
                                   order by b.turn limit r.most for update skip locked) l),
         opened as (
             update shared_queues.lane set state = 'open', blocked_on = null, turn = nextval('shared_queues.lane_turn')
              where id = any (array(select w.id from woken w))),
         per as materialized (select w.limit_key, count(*) as lanes from woken w group by w.limit_key)
    -- The lanes are those of before this statement: whether there are others than the woken ones is a matter of their number.
    update shared_queues.limit_use u
       set opens_at = case when not exists (select from shared_queues.lane b
                                             where b.blocked_on = r.limit_key and b.state = 'blocked'
                                            offset coalesce(p.lanes, 0)) then null
                           -- Some are locked. At once, all workers of all queues would look again and again for as long as they are.
                           when coalesce(p.lanes, 0) < r.most then clock_timestamp() + interval '20 milliseconds'
                           when r.room > 0 then clock_timestamp() + interval '1 second'
                           else r.opens_at end
      from room r left join per p on p.limit_key = r.limit_key where u.limit_key = r.limit_key;
end $function$;

-- Opens lanes anew that have jobs, and forgets the others. Deleted first and looked at afterwards: a job that comes meanwhile is seen
-- either here, or by the claim that reads of it in the news, which waits for this.
create function shared_queues.reopen(lanes uuid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    delete from shared_queues.lane where id = any (lanes);
    insert into shared_queues.lane (id, queue, tenant_id, ordered, state, turn)
    select l.id, w.queue, w.tenant_id, w.ordered, 'open', nextval('shared_queues.lane_turn')
      from unnest(lanes) as l (id)
     cross join lateral (select j.queue, j.tenant_id, j.ordered from shared_queues.waiting j
                          where j.lane = l.id order by j.position limit 1) w
     order by l.id
        on conflict do nothing;
end $function$;

-- What these jobs have taken, who are no longer ready or held: lanes in which they were the one, and limits, one for each place. Asked
-- while their bodies are there; after the transaction of a handler has completed one, something else is.
create function shared_queues.places(jobs uuid[], out lanes uuid[], out keys text[])
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    with completed as (
             delete from shared_queues.completed where job_id = any (jobs) returning lane, ordered, limits),
         gone as materialized (
             select b.lane, b.order_key is not null as ordered, b.limits
               from shared_queues.body b where b.job_id = any (jobs) and b.lane is not null
             union all select c.lane, c.ordered, c.limits from completed c)
    select array(select distinct g.lane from gone g where g.ordered),
           array(select k.limit_key from gone g cross join unnest(g.limits) as k (limit_key)) into lanes, keys;
end $function$;

-- Frees such places. Lanes that could now move are opened.
create function shared_queues.free(lanes uuid[], keys text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    limits text[];
begin
    if cardinality(lanes) > 0 then
        perform shared_queues.reopen(lanes);
    end if;
    if cardinality(keys) > 0 then
        limits := array(select distinct k.limit_key collate "C" from unnest(keys) as k (limit_key) order by 1);
        perform 1 from shared_queues.limit_use u where u.limit_key = any (limits) order by u.limit_key for update;
        update shared_queues.limit_use u set running = greatest(0, u.running - p.places)
          from (select k.limit_key, count(*)::integer as places from unnest(keys) as k (limit_key) group by k.limit_key) p
         where u.limit_key = p.limit_key collate "C";
        perform shared_queues.wake(limits);
    end if;
end $function$;

-- Both, for jobs whose bodies are there until this is done.
create function shared_queues.release(jobs uuid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    taken record;
begin
    select p.lanes, p.keys into taken from shared_queues.places(jobs) p;
    perform shared_queues.free(taken.lanes, taken.keys);
end $function$;

-- The same for jobs whose bodies had such places, and are gone.
create function shared_queues.free_of(jobs uuid[], lanes uuid[], keys text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    done record;
begin
    for done in delete from shared_queues.completed c where c.job_id = any (jobs) returning c.lane, c.ordered, c.limits loop
        keys := keys || done.limits;
        if done.ordered then
            lanes := lanes || done.lane;
        end if;
    end loop;
    perform shared_queues.free(lanes, keys);
end $function$;

-- Whether a claim of this queue has something to admit, or to look at.
create function shared_queues.is_gated(of_queue text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $function$
    select exists (select from shared_queues.lane where queue = of_queue and state = 'open')
        or exists (select from shared_queues.news where queue = of_queue)
        or exists (select from shared_queues.lane where queue = of_queue and state = 'timed' and opens_at <= (select clock_timestamp()))
        or exists (select from shared_queues.limit_use where opens_at <= (select clock_timestamp()))
$function$;

-- Admits up to `most` waiting jobs of a queue, lanes in turn: they are ready then. If nothing else is, which would have to be looked at as
-- well, a claim takes them at once: `taken` tells which are in its lease. `more` tells whether there may be others to admit.
--
-- The oldest job of each lane tells which limits have to be locked; all are locked at once, in order, and counted in memory.
create function shared_queues.admit(of_queue text, most integer, holder uuid, held_claim bigint,
                                    out admitted integer, out more boolean, out taken uuid[])
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    -- Jobs of one turn of a lane, as of a tenant.
    quantum constant integer := greatest(1, most / 10);
    seen record;
    told_lanes uuid[];
    free_lanes uuid[];
    free_keys text[];
    lanes uuid[];
    are_ordered boolean[];
    jobs integer[];
    dues timestamptz[];
    limits text[];                      -- of each lane's oldest job, an array as text
    places tid[];                       -- where the jobs of all these lanes are, lane by lane
    before integer := 0;                -- how many of them are earlier lanes'
    others uuid[];
    keys text[];
    rooms integer[];
    left_overs float8[];
    locked integer;
    room integer;
    at integer;
    key text;
    blocker text;
    wanted integer := 0;
    wanted_places tid[] := '{}';
    wanted_lanes uuid[] := '{}';
    wanted_jobs integer[] := '{}';      -- of each of these lanes; 0 if it is ordered: then no other job may be taken in the stead of a locked one
    empty_lanes uuid[] := '{}';
    aside uuid[] := '{}';
    states text[] := '{}';
    blockers text[] := '{}';
    openings timestamptz[] := '{}';
begin
    admitted := 0;
    more := false;
    if most <= 0 then
        return;
    end if;
    -- One look at all that decides what has to be done. Lost in a crash of the server, it is done again: so its commit need not be flushed.
    select coalesce(q.paused, false) as is_paused,
           coalesce(q.concurrency, q.rate_count) is null
               and not exists (select from shared_queues.ready r where r.queue = of_queue)
               and exists (select from shared_queues.worker w where w.incarnation = holder) as is_taken,
           exists (select from shared_queues.news n where n.queue = of_queue) as has_news,
           exists (select from shared_queues.lane l
                    where l.queue = of_queue and l.state = 'timed' and l.opens_at <= (select clock_timestamp())) as has_due,
           exists (select from shared_queues.share s where s.queue = of_queue and s.paused) as has_paused,
           set_config('synchronous_commit', 'off', true)
      into seen
      from (values (1)) as one (n) left join shared_queues.queue q on q.name = of_queue;
    if seen.is_paused then
        return;
    end if;

    if seen.has_news then
        -- Rows of a thousand lanes: some milliseconds of work.
        with told as materialized (
                 delete from shared_queues.news
                  where ctid = any (array(select n.ctid from shared_queues.news n
                                           where n.queue = of_queue order by n.position
                                           limit (select count(*) from (
                                                         select sum(cardinality(f.lanes)) over (order by f.position) - cardinality(f.lanes) as lanes
                                                           from (select o.position, o.lanes from shared_queues.news o
                                                                  where o.queue = of_queue order by o.position limit 250) f) b
                                                   where b.lanes < 1000)
                                             for update skip locked))
                 returning news.lanes, tenant_id, news.ordered as is_ordered, news.freed as is_freed, news.limits as freed_limits),
             opened as (
                 insert into shared_queues.lane (id, queue, tenant_id, ordered, state, turn)
                 select t.lane, of_queue, t.tenant_id, t.is_ordered, 'open', (select nextval('shared_queues.lane_turn'))
                   from (select distinct l.lane, n.tenant_id, n.is_ordered from told n cross join unnest(n.lanes) as l (lane)
                          where not n.is_freed order by l.lane) t
                     on conflict do nothing)
        select array(select distinct l.lane from told t cross join unnest(t.lanes) as l (lane)),
               array(select distinct l.lane from told t cross join unnest(t.lanes) as l (lane) where t.is_freed and t.is_ordered),
               array(select k.limit_key from told t cross join unnest(t.freed_limits) as k (limit_key) where t.is_freed)
          into told_lanes, free_lanes, free_keys;
        if cardinality(free_lanes) > 0 then
            perform shared_queues.reopen(free_lanes);
        end if;
        -- One that waits for the time of its oldest job may have another one now.
        if exists (select from shared_queues.lane l where l.queue = of_queue and l.state = 'timed') then
            update shared_queues.lane set state = 'open', opens_at = null
             where id = any (array(select l.id from shared_queues.lane l
                                    where l.id = any (told_lanes) and l.state = 'timed' order by l.id for update));
        end if;
    end if;
    if seen.has_due then
        update shared_queues.lane set state = 'open', opens_at = null, turn = nextval('shared_queues.lane_turn')
         where id = any (array(select l.id from shared_queues.lane l
                                where l.queue = of_queue and l.state = 'timed' and l.opens_at <= (select clock_timestamp())
                                order by l.opens_at limit most for update skip locked));
    end if;

    -- Lanes are locked until there are enough jobs, and no further; half as many again as are wanted, since limits may leave some of them.
    with j as materialized (
             select l.turn, l.id, l.ordered, p.place, p.position, p.due_at, p.limits
               from (select o.turn, o.id, o.ordered from shared_queues.lane o where o.queue = of_queue and o.state = 'open'
                      order by o.turn limit most for update skip locked) l
               left join lateral (select i.ctid as place, i.position, i.due_at, i.limits from shared_queues.waiting i where i.lane = l.id
                                   order by i.position limit case when l.ordered then 1 else quantum end) p on true
              limit most + most / 2)
    select array_agg(c.id order by c.turn, c.id), array_agg(c.ordered order by c.turn, c.id), array_agg(c.jobs order by c.turn, c.id),
           array_agg(c.due_at order by c.turn, c.id), array_agg(c.limits::text order by c.turn, c.id),
           (select array_agg(i.place order by i.turn, i.id, i.position) from j i where i.place is not null)
      into lanes, are_ordered, jobs, dues, limits, places
      from (select distinct on (i.turn, i.id) i.turn, i.id, i.ordered, i.due_at, i.limits,
                   count(i.position) over (partition by i.turn, i.id)::integer as jobs
              from j i order by i.turn, i.id, i.position) c;
    if seen.has_paused then
        others := shared_queues.without_paused(of_queue, lanes);
    end if;

    keys := array(
        select distinct k.limit_key collate "C"
          from (select unnest(h.limits::text[]) from unnest(limits) as h (limits)
                union all select unnest(free_keys)
                union all (select u.limit_key from shared_queues.limit_use u where u.opens_at <= (select clock_timestamp())
                            order by u.opens_at limit most)) as k (limit_key)
         order by 1);
    if cardinality(keys) > 0 then
        -- A row that nobody needed may just have been pruned.
        loop
            insert into shared_queues.limit_use (limit_key, name)
            select k.limit_key, split_part(k.limit_key, chr(1), 1) from unnest(keys) as k (limit_key)
             where k.limit_key <> all (array(select u.limit_key from shared_queues.limit_use u where u.limit_key = any (keys)))
                on conflict do nothing;
            perform 1 from shared_queues.limit_use u where u.limit_key = any (keys) order by u.limit_key for update;
            get diagnostics locked = row_count;
            exit when locked = cardinality(keys);
        end loop;
        select array_agg(r.room order by r.limit_key collate "C"), array_agg(r.left_over order by r.limit_key collate "C")
          into rooms, left_overs from shared_queues.rooms(keys) r;
    end if;

    for n in 1..coalesce(cardinality(lanes), 0) loop
        before := before + case when n > 1 then jobs[n - 1] else 0 end;
        continue when others is not null and lanes[n] <> all (others);
        if jobs[n] = 0 then
            empty_lanes := empty_lanes || lanes[n];
            continue;
        end if;
        if are_ordered[n] and dues[n] > clock_timestamp() then
            aside := aside || lanes[n]; states := states || 'timed'::text; blockers := blockers || null::text;
            openings := openings || dues[n];
            continue;
        end if;
        room := least(jobs[n], most - wanted);
        -- What is not looked at any more stays open, at its place.
        exit when room <= 0;
        blocker := null;
        foreach key in array coalesce(limits[n]::text[], '{}') loop
            room := least(room, rooms[array_position(keys, key)]);
            if room <= 0 then
                blocker := key;
                exit;
            end if;
        end loop;
        if blocker is not null then
            aside := aside || lanes[n]; states := states || 'blocked'::text; blockers := blockers || blocker;
            openings := openings || null::timestamptz;
            continue;
        end if;
        foreach key in array coalesce(limits[n]::text[], '{}') loop
            at := array_position(keys, key);
            rooms[at] := rooms[at] - room;
        end loop;
        wanted_places := wanted_places || places[before + 1 : before + room];
        wanted_lanes := wanted_lanes || lanes[n];
        wanted_jobs := wanted_jobs || case when are_ordered[n] then 0 else room end;
        wanted := wanted + room;
    end loop;

    if wanted > 0 then
        -- One that a producer is just replacing is not taken, but the next one of its lane, of which all have the same limits; if that is ordered,
        -- its turn is over. A place is another row's only after this statement.
        with locked as materialized (
                 select w.ctid as place, w.lane from shared_queues.waiting w where w.ctid = any (wanted_places) for update skip locked),
             instead as materialized (
                 select i.place
                   from (select l.lane, l.jobs - (select count(*) from locked k where k.lane = l.lane) as missing
                           from unnest(wanted_lanes, wanted_jobs) as l (lane, jobs)
                          where (select count(*) from locked) < wanted) m
                  cross join lateral (
                        select w.ctid as place from shared_queues.waiting w
                         where w.lane = m.lane and w.ctid <> all (wanted_places)
                         order by w.position limit greatest(0, m.missing) for update skip locked) i),
             gone as materialized (
                 delete from shared_queues.waiting
                  where ctid = any (array(select k.place from locked k union all select i.place from instead i))
                 returning queue, band, tenant_id, position, job_id, lane, waiting.ordered as is_ordered, waiting.limits as job_limits),
             ready as (
                 insert into shared_queues.ready (queue, band, tenant_id, position, job_id, gated)
                 select g.queue, g.band, g.tenant_id, g.position, g.job_id, true from gone g where not seen.is_taken),
             lease as (
                 insert into shared_queues.lease as l (worker, claim, queue, ids, gated)
                 select holder, held_claim, of_queue, array_agg(g.job_id), true from gone g where seen.is_taken having count(*) > 0
                     on conflict (worker, claim) do update set ids = l.ids || excluded.ids, gated = true),
             served as (
                 update shared_queues.lane l
                    set state = case when s.is_ordered then 'busy' else 'open' end, turn = nextval('shared_queues.lane_turn')
                   from (select x.lane, bool_or(x.is_ordered) as is_ordered
                           from (select g.lane, g.is_ordered from gone g
                                 union all select w.lane, false from unnest(wanted_lanes) as w (lane)) x group by x.lane) s
                  where l.id = s.lane),
             used as (
                 update shared_queues.limit_use u
                    set running = u.running + p.places, filled_at = clock_timestamp(),
                        tokens = greatest(0, left_overs[array_position(keys, u.limit_key)] - p.places)
                   from (select k.limit_key, count(*)::integer as places
                           from gone g cross join unnest(g.job_limits) as k (limit_key) group by k.limit_key) p
                  where u.limit_key = p.limit_key)
        select count(*), case when seen.is_taken then array_agg(g.job_id) end into admitted, taken from gone g;
    end if;
    if cardinality(aside) > 0 then
        update shared_queues.lane l
           set state = o.state, blocked_on = o.blocked_on, opens_at = o.opens_at, turn = nextval('shared_queues.lane_turn')
          from unnest(aside, states, blockers, openings) as o (id, state, blocked_on, opens_at) where l.id = o.id;
    end if;
    if cardinality(empty_lanes) > 0 then
        perform shared_queues.reopen(empty_lanes);
    end if;
    if cardinality(free_keys) > 0 then
        perform shared_queues.free('{}', free_keys);
    end if;
    if cardinality(keys) > 0 then
        perform shared_queues.wake(keys);
    end if;
    -- Behind a full claim the next one looks anyway.
    more := admitted >= most or shared_queues.is_gated(of_queue);
end $function$;

-- Sets aside the lanes of paused tenants, and returns the others. The lock keeps a tenant from going on unnoticed meanwhile.
create function shared_queues.without_paused(of_queue text, lanes uuid[]) returns uuid[]
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    others uuid[];
begin
    perform 1 from shared_queues.share s where s.queue = of_queue and s.paused order by s.tenant_id for share;
    update shared_queues.lane l set state = 'paused'
     where l.id = any (lanes)
       and exists (select from shared_queues.share s where s.queue = of_queue and s.tenant_id = l.tenant_id and s.paused);
    select array_agg(x.id order by x.turn) into others
      from unnest(lanes) with ordinality as x (id, turn)
     where exists (select from shared_queues.lane l where l.id = x.id and l.state = 'open');
    return coalesce(others, '{}');
end $function$;

do $make$
declare
    one text;
begin
    foreach one in array array['rooms(text[])', 'wake(text[])', 'reopen(uuid[])', 'release(uuid[])', 'places(uuid[])',
                               'free(uuid[], text[])', 'free_of(uuid[], uuid[], text[])', 'is_gated(text)', 'admit(text, integer, uuid, bigint)',
                               'without_paused(text, uuid[])', 'lane_of(text, uuid, text, text[])'] loop
        execute format('revoke all on function shared_queues.%s from public', one);
        execute format('grant execute on function shared_queues.%s to {system}', one);
    end loop;
end $make$;
grant execute on function shared_queues.lane_of(text, uuid, text, text[]) to {app};
