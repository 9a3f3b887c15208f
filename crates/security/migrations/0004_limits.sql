-- What was used of limits, by a digest of rule and key. Unlogged: after a crash all limits are whole, which is worth less than a
-- disk write for each request. A bucket was, at `at` microseconds since 1970, `x` nanoseconds away from full, with `y` of them
-- between two tokens. A window began `at` milliseconds since 1970 and counts `y`, after one that counted `x`.
create unlogged table shared_security.limit_used (
    key bytea primary key check (length(key) = 32),
    is_window boolean not null,
    at bigint not null,
    x bigint not null,
    y bigint not null,
    expires timestamptz not null
) with (fillfactor = 50);
create index limit_used_expires on shared_security.limit_used (expires);
grant select, insert, update, delete on shared_security.limit_used to {system};

-- Takes a cost from all of some limits, or from none. For each of them `widths` has the nanoseconds between two tokens, or the
-- milliseconds of a window; `mosts` has what it admits at once. Returns how each was before: whether the cost fits, and the debt,
-- or the milliseconds since the window began and its two counts. The time is that of this server, read when the rows are locked,
-- so that it does not go back between two callers; a clock that was set back lets nothing drain, and is believed from then on.
create function shared_security.take_limits(keys bytea[], windows boolean[], widths bigint[], mosts bigint[], cost bigint)
returns table (place integer, fits boolean, a bigint, b bigint, c bigint) language plpgsql
set search_path = pg_catalog, pg_temp as $function$
declare
    held integer;
    now_us bigint;
    now_ms bigint;
    used shared_security.limit_used;
    kept shared_security.limit_used[] := '{}';
    everything boolean := true;
begin
    loop
        insert into shared_security.limit_used (key, is_window, at, x, y, expires)
        select wanted.key, wanted.is_window, 0, 0, case when wanted.is_window then 0 else 1 end, clock_timestamp()
          from unnest(keys, windows) as wanted (key, is_window) order by wanted.key
            on conflict (key) do nothing;
        -- In the order of all callers, so that none waits for another in a circle.
        select count(*) into held from (
            select limit_used.key from shared_security.limit_used
             where limit_used.key = any (keys) order by limit_used.key for update) as locked;
        -- One may have expired and gone in between.
        exit when held = cardinality(keys);
    end loop;
    now_us := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
    now_ms := now_us / 1000;
    -- Also for those that are denied.
    update shared_security.limit_used set at = case when is_window then now_ms else now_us end
     where limit_used.key = any (keys) and at > case when is_window then now_ms else now_us end;

    for i in 1 .. cardinality(keys) loop
        select limit_used.key, limit_used.is_window, limit_used.at, limit_used.x, limit_used.y, limit_used.expires into used
          from shared_security.limit_used where limit_used.key = keys[i];
        if used.is_window <> windows[i] then
            used.is_window := windows[i];
            used.at := 0;
            used.x := 0;
            used.y := case when windows[i] then 0 else 1 end;
        end if;
        place := i;
        if windows[i] then
            if now_ms - used.at >= 2 * widths[i] then
                used.at := now_ms;
                used.x := 0;
                used.y := 0;
            elsif now_ms - used.at >= widths[i] then
                used.at := used.at + widths[i];
                used.x := used.y;
                used.y := 0;
            end if;
            a := now_ms - used.at;
            b := used.x;
            c := used.y;
            -- What is left of the window before, rounded up.
            fits := cost = 0 or (b * (widths[i] - a) + widths[i] - 1) / widths[i] + c + cost <= mosts[i];
            used.y := used.y + cost;
            used.expires := clock_timestamp() + (2 * widths[i] - a) * interval '1 millisecond';
        else
            a := greatest(0, used.x - least(now_us - used.at, 9000000000000) * 1000);
            if used.y <> widths[i] then
                a := least(a::numeric * widths[i] / used.y, 9000000000000000)::bigint;
            end if;
            a := least(a, widths[i] * mosts[i]);
            b := 0;
            c := 0;
            fits := cost = 0 or (cost <= mosts[i] and a <= (mosts[i] - cost) * widths[i]);
            used.at := now_us;
            used.x := a + case when fits then cost * widths[i] else 0 end;
            used.y := widths[i];
            used.expires := clock_timestamp() + (used.x / 1000 + 1) * interval '1 microsecond';
        end if;
        everything := everything and fits;
        kept := kept || used;
        return next;
    end loop;

    if everything and cost > 0 then
        update shared_security.limit_used
           set is_window = made.is_window, at = made.at, x = made.x, y = made.y, expires = made.expires
          from unnest(kept) as made where limit_used.key = made.key;
    end if;
    -- A few callers sweep for all: far more than come in between. What others hold is left to them.
    if random() < 0.01 then
        delete from shared_security.limit_used where limit_used.key in (
            select old.key from shared_security.limit_used as old
             where old.expires < clock_timestamp() and old.key <> all (keys)
             order by old.expires limit 1000 for update skip locked);
    end if;
end $function$;
revoke all on function shared_security.take_limits(bytea[], boolean[], bigint[], bigint[], bigint) from public;
grant execute on function shared_security.take_limits(bytea[], boolean[], bigint[], bigint[], bigint) to {system};
