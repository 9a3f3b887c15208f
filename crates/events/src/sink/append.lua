-- Appends events to the stream of a lane, under their places as ids, and stops at the first that can't be appended.
--
-- ARGV: the place that the caller knows to be the last (tick, pos); how many entries to keep; then of each event its tick, its pos, how
-- many words it has, and these. Answers how many are there now, why no more ('' for none), and what the server said.

-- Whether the first place comes before the second one. Their numbers are texts without leading zeros, so that none is too large.
local function before(tick, pos, other_tick, other_pos)
    local a, b = tick, other_tick
    if a == b then a, b = pos, other_pos end
    return #a < #b or (#a == #b and a < b)
end

local key, keep = KEYS[1], ARGV[3]
local tick, pos = '0', '0'
if redis.call('EXISTS', key) == 1 then
    local info = redis.call('XINFO', 'STREAM', key)
    for at = 1, #info, 2 do
        if info[at] == 'last-generated-id' then
            tick, pos = string.match(info[at + 1], '^(%d+)-(%d+)$')
        end
    end
end
if before(tick, pos, ARGV[1], ARGV[2]) then
    return {0, 'fenced', 'its last event is ' .. tick .. '-' .. pos .. ', and was ' .. ARGV[1] .. '-' .. ARGV[2]}
end

local at, done = 4, 0
while at <= #ARGV do
    local words = tonumber(ARGV[at + 2])
    -- What is not behind the last one is there already.
    if before(tick, pos, ARGV[at], ARGV[at + 1]) then
        local id = ARGV[at] .. '-' .. ARGV[at + 1]
        local added = redis.pcall('XADD', key, 'MAXLEN', '~', keep, id, unpack(ARGV, at + 3, at + 2 + words))
        if type(added) == 'table' and added.err then
            return {done, 'later', added.err}
        end
        tick, pos = ARGV[at], ARGV[at + 1]
    end
    done = done + 1
    at = at + 3 + words
end
return {done, '', ''}
