-- Lanes: where jobs with an ordering key or with limits wait until a claim admits them. Jobs without pay nothing for it.
--
-- Producers only insert: the job into `waiting`, and a line of `news` that makes the next claim open the lane. Locks are taken in one
-- order everywhere: new lanes by id, lanes without waiting, limits by key, then lanes that are blocked on one of these limits.

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

create table shared_queues.news (
    queue text collate "C" not null,
    position bigint not null,
    lane uuid not null,
    tenant_id uuid not null,
    job_id uuid not null,
    freed boolean not null default false    -- the job was admitted, and was put off before a worker took it
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
    state text collate "C" not null,
    turn bigint not null,               -- when it was served last
    opens_at timestamptz,
    blocked_on text collate "C"
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index lane_open on shared_queues.lane (queue, turn) where state = 'open';
create index lane_timed on shared_queues.lane (queue, opens_at) where state = 'timed';
create index lane_blocked on shared_queues.lane (blocked_on, turn) where state = 'blocked';
create index lane_paused on shared_queues.lane (queue, tenant_id) where state = 'paused';

-- Jobs that have passed their limits, and are ready or held.
create table shared_queues.admitted (
    job_id uuid primary key,
    lane uuid not null,
    ordered boolean not null,
    limits text[] collate "C"
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

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
        execute format($policy$
            create policy enqueue on shared_queues.%I for insert to {app}
            with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, one);
        execute format('grant insert on shared_queues.%I to {app}', one);
        execute format($policy$
            create policy own_tenant on shared_queues.%I for all to {owner}
            using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
            with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)$policy$, one);
    end loop;
    foreach one in array array['waiting', 'news', 'lane', 'admitted', 'limit_setting', 'limit_use'] loop
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

-- How many more jobs each of these limits lets through, a million if it does not limit, and, if there is none, when there will be.
create function shared_queues.rooms(keys text[]) returns table (limit_key text, room integer, opens_at timestamptz, left_over float8)
language sql stable set search_path = pg_catalog, pg_temp as $function$
    select u.limit_key,
           case when held.until > clock.now then 0
                else greatest(0, least(coalesce(s.concurrency - u.running, 1000000), floor(coalesce(bucket.tokens, 1000000) + 1e-6)))::integer end,
           case when held.until > clock.now then held.until
                when s.concurrency <= u.running then null
                when bucket.tokens < 1 then clock.now + (1 - bucket.tokens) * s.rate_period / s.rate_count * interval '1 second' end,
           coalesce(bucket.tokens, 'infinity')
      from (select clock_timestamp() as now) clock
     cross join unnest(keys) as wanted (limit_key)
     cross join lateral (select l.limit_key, l.name, l.running, l.tokens, l.filled_at
                           from shared_queues.limit_use l where l.limit_key = wanted.limit_key) u
      left join lateral (select k.concurrency, k.rate_count, k.rate_period, k.rate_burst
                           from shared_queues.limit_setting k where k.limit_key in (u.limit_key, u.name) and k.is_set
                          order by length(k.limit_key) desc limit 1) s on true
      left join lateral (select max(k.held_until) as until
                           from shared_queues.limit_setting k where k.limit_key in (u.limit_key, u.name)) held on true
     cross join lateral (select least(s.rate_burst, u.tokens + greatest(0, extract(epoch from clock.now - u.filled_at)::float8)
                                                     * s.rate_count / s.rate_period) as full_tokens) f
     cross join lateral (select case when s.rate_count is not null then f.full_tokens end as tokens) bucket
$function$;

-- Opens as many of the lanes that are blocked on these limits as there is room for. Whoever calls it has locked the limits.
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
    with room as materialized (select r.limit_key, r.room, r.opens_at from shared_queues.rooms(keys) r)
    update shared_queues.lane set state = 'open', blocked_on = null, turn = nextval('shared_queues.lane_turn')
     where id = any (array(select l.id from room r
                            cross join lateral (select b.id from shared_queues.lane b
                                                 where b.blocked_on = r.limit_key and b.state = 'blocked'
                                                 order by b.turn limit least(r.room, 100)) l));
    with room as materialized (select r.limit_key, r.room, r.opens_at from shared_queues.rooms(keys) r)
    update shared_queues.limit_use u
       set opens_at = case when not exists (select from shared_queues.lane b
                                             where b.blocked_on = r.limit_key and b.state = 'blocked') then null
                           when r.room > 0 then clock_timestamp() + interval '1 second'
                           else r.opens_at end
      from room r where u.limit_key = r.limit_key;
end $function$;

-- Opens lanes anew that have jobs, and forgets the others. Deleted first and looked at afterwards: a job that comes meanwhile is seen
-- either here, or by the claim that reads of it in the news, which waits for this.
create function shared_queues.reopen(lanes uuid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $function$
begin
    delete from shared_queues.lane where id = any (lanes);
    insert into shared_queues.lane (id, queue, tenant_id, state, turn)
    select l.id, w.queue, w.tenant_id, 'open', nextval('shared_queues.lane_turn')
      from unnest(lanes) as l (id)
     cross join lateral (select j.queue, j.tenant_id from shared_queues.waiting j where j.lane = l.id order by j.position limit 1) w
        on conflict do nothing;
end $function$;

-- These jobs are no longer ready or held: their places are free. Returns how many of them had been admitted.
create function shared_queues.release(jobs uuid[]) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    keys text[];
    lanes uuid[];
    freed integer;
begin
    keys := array(select distinct k.limit_key collate "C" from shared_queues.admitted a cross join unnest(a.limits) as k (limit_key)
                   where a.job_id = any (jobs) order by 1);
    perform 1 from shared_queues.limit_use u where u.limit_key = any (keys) order by u.limit_key for update;
    with gone as materialized (
             delete from shared_queues.admitted where job_id = any (jobs) returning lane, ordered, limits),
         places as materialized (
             select k.limit_key, count(*)::integer as free from gone cross join unnest(gone.limits) as k (limit_key) group by 1),
         counted as (
             update shared_queues.limit_use u set running = greatest(0, u.running - p.free)
               from places p where u.limit_key = p.limit_key)
    select array_agg(distinct gone.lane) filter (where gone.ordered), count(*) into lanes, freed from gone;
    if cardinality(keys) > 0 then
        perform shared_queues.wake(keys);
    end if;
    if lanes is not null then
        perform shared_queues.reopen(lanes);
    end if;
    return freed;
end $function$;

-- Whether a claim of this queue has something to admit, or to look at.
create function shared_queues.is_gated(of_queue text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $function$
    select exists (select from shared_queues.news where queue = of_queue)
        or exists (select from shared_queues.lane where queue = of_queue and state = 'open')
        or exists (select from shared_queues.lane where queue = of_queue and state = 'timed' and opens_at <= clock_timestamp())
        or exists (select from shared_queues.limit_use where opens_at <= clock_timestamp())
$function$;

-- Admits up to `most` waiting jobs of a queue, lanes in turn: they are ready then. `more` tells whether there may be others.
--
-- The oldest job of each lane tells which limits have to be locked; all are locked at once, in order, and counted in memory.
create function shared_queues.admit(of_queue text, most integer, out admitted integer, out more boolean)
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    lanes uuid[];
    told_lanes uuid[];
    freed uuid[];
    keys text[];
    rooms integer[];
    quota integer;
    head record;
    room integer;
    at integer;
    key text;
    blocker text;
    wanted integer;
    positions bigint[];
    taken_lanes uuid[] := '{}';
    taken_positions bigint[] := '{}';
    empty_lanes uuid[] := '{}';
    seen uuid[] := '{}';
    states text[] := '{}';
    blockers text[] := '{}';
    openings timestamptz[] := '{}';
begin
    admitted := 0;
    more := false;
    if most <= 0 or exists (select from shared_queues.queue q where q.name = of_queue and q.paused) then
        return;
    end if;
    -- Lost in a crash of the server, it is done again.
    perform set_config('synchronous_commit', 'off', true);

    with told as materialized (
             delete from shared_queues.news
              where ctid = any (array(select n.ctid from shared_queues.news n
                                       where n.queue = of_queue order by n.position limit 1000 for update skip locked))
             returning lane, tenant_id, job_id, news.freed as is_freed),
         opened as (
             insert into shared_queues.lane (id, queue, tenant_id, state, turn)
             select t.lane, of_queue, t.tenant_id, 'open', nextval('shared_queues.lane_turn')
               from (select distinct n.lane, n.tenant_id from told n where not n.is_freed order by n.lane) t
                 on conflict do nothing)
    select array_agg(t.job_id) filter (where t.is_freed), array_agg(distinct t.lane) into freed, told_lanes from told t;
    -- One that waits for the time of its oldest job may have another one now.
    if told_lanes is not null then
        update shared_queues.lane set state = 'open', opens_at = null
         where id = any (array(select l.id from shared_queues.lane l
                                where l.id = any (told_lanes) and l.state = 'timed' order by l.id for update));
    end if;
    update shared_queues.lane set state = 'open', opens_at = null, turn = nextval('shared_queues.lane_turn')
     where id = any (array(select l.id from shared_queues.lane l
                            where l.queue = of_queue and l.state = 'timed' and l.opens_at <= clock_timestamp()
                            order by l.opens_at limit most for update skip locked));
    lanes := array(select l.id from shared_queues.lane l where l.queue = of_queue and l.state = 'open'
                    order by l.turn limit most for update skip locked);
    if exists (select from shared_queues.share s where s.queue = of_queue and s.paused) then
        lanes := shared_queues.without_paused(of_queue, lanes);
    end if;

    keys := array(
        select distinct k.limit_key collate "C"
          from (select unnest(h.limits) from unnest(lanes) as l (id)
                 cross join lateral (select w.limits from shared_queues.waiting w where w.lane = l.id
                                      order by w.position limit 1) h
                union all select unnest(a.limits) from shared_queues.admitted a where a.job_id = any (freed)
                union all (select u.limit_key from shared_queues.limit_use u where u.opens_at <= clock_timestamp()
                            order by u.opens_at limit most)) as k (limit_key)
         order by 1);
    if cardinality(keys) > 0 then
        insert into shared_queues.limit_use (limit_key, name)
        select k.limit_key, split_part(k.limit_key, chr(1), 1) from unnest(keys) as k (limit_key)
         where not exists (select from shared_queues.limit_use u where u.limit_key = k.limit_key)
            on conflict do nothing;
        perform 1 from shared_queues.limit_use u where u.limit_key = any (keys) order by u.limit_key for update;
        rooms := array(select r.room from shared_queues.rooms(keys) r order by r.limit_key collate "C");
    end if;

    quota := ceil(most::float8 / greatest(1, cardinality(lanes)));
    for head in
        select l.id, w.position, w.ordered, w.due_at, w.limits from unnest(lanes) with ordinality as l (id, turn)
          left join lateral (select j.position, j.ordered, j.due_at, j.limits from shared_queues.waiting j where j.lane = l.id
                              order by j.position limit 1) w on true
         order by l.turn
    loop
        if head.position is null then
            empty_lanes := empty_lanes || head.id;
            continue;
        end if;
        if head.ordered and head.due_at > clock_timestamp() then
            seen := seen || head.id; states := states || 'timed'::text; blockers := blockers || null::text;
            openings := openings || head.due_at;
            continue;
        end if;
        room := most - admitted;
        -- What is not looked at any more stays open, at its place.
        exit when room <= 0;
        blocker := null;
        foreach key in array coalesce(head.limits, '{}') loop
            at := array_position(keys, key);
            -- Another job has become the oldest since the limits were locked: next time.
            room := case when at is null then -1 else least(room, rooms[at]) end;
            if room <= 0 then
                blocker := key;
                exit;
            end if;
        end loop;
        continue when room < 0;
        if blocker is not null then
            seen := seen || head.id; states := states || 'blocked'::text; blockers := blockers || blocker;
            openings := openings || null::timestamptz;
            continue;
        end if;

        wanted := case when head.ordered then 1 else least(room, quota) end;
        positions := array(select w.position from shared_queues.waiting w
                            where w.lane = head.id and (not head.ordered or w.position = head.position)
                            order by w.position limit wanted for update skip locked);
        foreach key in array coalesce(head.limits, '{}') loop
            at := array_position(keys, key);
            rooms[at] := rooms[at] - cardinality(positions);
        end loop;
        admitted := admitted + cardinality(positions);
        taken_lanes := taken_lanes || array_fill(head.id, array[cardinality(positions)]);
        taken_positions := taken_positions || positions;
        if not head.ordered and cardinality(positions) < wanted then
            empty_lanes := empty_lanes || head.id;
        else
            seen := seen || head.id;
            -- One that a producer is just replacing is not taken; its lane stays open.
            states := states || case when head.ordered and cardinality(positions) = 1 then 'busy' else 'open' end;
            blockers := blockers || null::text; openings := openings || null::timestamptz;
        end if;
    end loop;

    if admitted > 0 then
        with gone as materialized (
                 delete from shared_queues.waiting w using unnest(taken_lanes, taken_positions) as t (lane, position)
                  where w.lane = t.lane and w.position = t.position
                 returning w.queue, w.band, w.tenant_id, w.position, w.job_id, w.lane, w.ordered, w.limits),
             ready as (
                 insert into shared_queues.ready (queue, band, tenant_id, position, job_id, gated)
                 select g.queue, g.band, g.tenant_id, g.position, g.job_id, true from gone g),
             passed as (
                 insert into shared_queues.admitted (job_id, lane, ordered, limits)
                 select g.job_id, g.lane, g.ordered, g.limits from gone g),
             places as materialized (
                 select k.limit_key, count(*)::integer as taken from gone g cross join unnest(g.limits) as k (limit_key) group by 1),
             left_over as materialized (select r.limit_key, r.left_over from shared_queues.rooms(keys) r)
        update shared_queues.limit_use u
           set running = u.running + p.taken, tokens = greatest(0, r.left_over - p.taken), filled_at = clock_timestamp()
          from places p, left_over r where u.limit_key = p.limit_key and r.limit_key = p.limit_key;
    end if;
    update shared_queues.lane l
       set state = o.state, blocked_on = o.blocked_on, opens_at = o.opens_at, turn = nextval('shared_queues.lane_turn')
      from unnest(seen, states, blockers, openings) as o (id, state, blocked_on, opens_at) where l.id = o.id;
    if cardinality(empty_lanes) > 0 then
        perform shared_queues.reopen(empty_lanes);
    end if;
    if freed is not null then
        perform shared_queues.release(freed);
    end if;
    if cardinality(keys) > 0 then
        perform shared_queues.wake(keys);
    end if;
    more := shared_queues.is_gated(of_queue);
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
    foreach one in array array['rooms(text[])', 'wake(text[])', 'reopen(uuid[])', 'release(uuid[])', 'is_gated(text)',
                               'admit(text, integer)', 'without_paused(text, uuid[])', 'lane_of(text, uuid, text, text[])'] loop
        execute format('revoke all on function shared_queues.%s from public', one);
        execute format('grant execute on function shared_queues.%s to {system}', one);
    end loop;
end $make$;
grant execute on function shared_queues.lane_of(text, uuid, text, text[]) to {app};
