-- Appends events to the stream of a lane, under their places as ids, and stops at the first that can't be appended.
--
-- ARGV: the place that the caller knows to be the last (tick, pos); how many entries to keep; how many shapes of events there are, and of
-- each the number of its fields, and their names; then of each event its tick, its pos, the number of its shape, and the values of its
-- fields. Answers how many are there now, why no more ('' for none), and what the server said.

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

-- Names, with places between them for the values.
local shapes, at = {}, 5
for shape = 1, tonumber(ARGV[4]) do
    local width, words = tonumber(ARGV[at]), {}
    for field = 1, width do words[2 * field - 1] = ARGV[at + field] end
    shapes[tostring(shape)] = {width, words}
    at = at + 1 + width
end

local done, all = 0, #ARGV
while at <= all do
    local width, words = unpack(shapes[ARGV[at + 2]])
    -- What is not behind the last one is there already.
    if before(tick, pos, ARGV[at], ARGV[at + 1]) then
        for field = 1, width do words[2 * field] = ARGV[at + 2 + field] end
        local id = ARGV[at] .. '-' .. ARGV[at + 1]
        local added = redis.pcall('XADD', key, 'MAXLEN', '~', keep, id, unpack(words, 1, 2 * width))
        if type(added) == 'table' and added.err then
            return {done, 'later', added.err}
        end
        tick, pos = ARGV[at], ARGV[at + 1]
    end
    done = done + 1
    at = at + 3 + width
end
return {done, '', ''}
