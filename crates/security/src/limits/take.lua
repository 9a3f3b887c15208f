-- Takes a cost from all of some limits, or from none. The time is the server's.
--
-- ARGV: the cost; then for each key its kind and two numbers. A bucket, 'b': nanoseconds between tokens, tokens when full;
-- kept as 'b at debt interval', in microseconds and twice in nanoseconds. A window, 'w': its length in milliseconds, its
-- count; kept as 'w start previous current', in milliseconds and twice in units of cost. All are whole numbers below 2^53.
--
-- Returns whether it was taken, and three numbers for each key as it was before: the debt, or how many milliseconds ago the
-- window began and its two counts.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now / 1000)
local cost = tonumber(ARGV[1])
local all, answer, keep = 1, {}, {}

-- A clock that was set back has let nothing drain, and is believed from now on, also by a key that is denied.
local function believed(key, kind, at, y, z, present)
    if at <= present then return at end
    redis.call('SET', key, string.format('%s %.0f %.0f %.0f', kind, present, y, z), 'KEEPTTL')
    return present
end

local function bucket(key, x, y, z, interval, burst)
    local debt = 0
    if x then
        debt = math.max(0, y - (now - believed(key, 'b', x, y, z, now)) * 1000)
        if z ~= interval then debt = math.floor(debt * interval / z) end
        debt = math.min(debt, interval * burst)
    end
    if cost > 0 and (cost > burst or debt > (burst - cost) * interval) then all = 0 end
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = debt, 0, 0
    local after = debt + cost * interval
    keep[key] = { string.format('b %.0f %.0f %.0f', now, after, interval), math.ceil(after / 1000000) + 1 }
end

local function window(key, x, y, z, length, count)
    local start, previous, current = now_ms, 0, 0
    if x then
        start, previous, current = believed(key, 'w', x, y, z, now_ms), y, z
        local elapsed = now_ms - start
        if elapsed >= 2 * length then
            start, previous, current = now_ms, 0, 0
        elseif elapsed >= length then
            start, previous, current = start + length, current, 0
        end
    end
    local elapsed = now_ms - start
    local used = math.ceil(previous * (length - elapsed) / length) + current
    if cost > 0 and used + cost > count then all = 0 end
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = elapsed, previous, current
    keep[key] = { string.format('w %.0f %.0f %.0f', start, previous, current + cost), 2 * length - elapsed }
end

for i, key in ipairs(KEYS) do
    local kind, a, b = ARGV[i * 3 - 1], tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
    local x, y, z = string.match(redis.call('GET', key) or '', '^' .. kind .. ' (%d+) (%d+) (%d+)$')
    local decide = kind == 'b' and bucket or window
    decide(key, tonumber(x), tonumber(y), tonumber(z), a, b)
end
if all == 1 and cost > 0 then
    for key, kept in pairs(keep) do
        redis.call('SET', key, kept[1], 'PX', string.format('%.0f', kept[2]))
    end
end
table.insert(answer, 1, all)
return answer
