-- Appends events to the stream of a lane, under their places as ids, and stops at the first that can't be appended. The place of the last one
-- is kept beside the stream: what somebody else adds has an id as well.
--
-- KEYS: the stream, and where that place is. ARGV: the place that the caller knows to be the last; how many entries to keep; how many shapes
-- of events there are. Of each shape the number of its words, the words (its fields' names and values in turn), the number of those that
-- are an event's own, and which ones these are: the first is its place. Then of each event the number of its shape, and its own words.
-- Answers how many are there now, why no more ('' for none), and what is to be said of it.

-- What is behind a place is taken out so, since no command takes a stream's last id back on every server.
local TAKE_OUT = "local e=redis.call('XRANGE',KEYS[1],'-',ARGV[1]) redis.call('DEL',KEYS[1]) "
    .. "for _,x in ipairs(e) do redis.call('XADD',KEYS[1],x[1],unpack(x[2])) end return #e"

local key = KEYS[1]
local top, last, unknown = ends(key, KEYS[2])
if unknown then return {0, 'foreign', unknown} end
local is_foreign = before(last, top)
if last ~= ARGV[1] then
    return {0, 'fenced', 'its last event is ' .. last .. ', and was ' .. ARGV[1]}
end

local shapes, at = {}, 4
for shape = 1, tonumber(ARGV[3]) do
    local words, own = {}, {}
    local size = tonumber(ARGV[at])
    for word = 1, size do words[word] = ARGV[at + word] end
    at = at + size + 1
    for nth = 1, tonumber(ARGV[at]) do own[nth] = tonumber(ARGV[at + nth]) end
    at = at + #own + 1
    shapes[tostring(shape)] = {words, own, #own}
end

local done, all, added, why, said = 0, #ARGV, false, '', ''
while at <= all do
    local words, own, count = unpack(shapes[ARGV[at]])
    local id = ARGV[at + 1]
    -- What is not behind the last one is there already; behind the first that is not, ids only grow.
    if added or before(last, id) then
        if not added and not before(top, id) then
            why = 'foreign'
            said = 'the entry ' .. top .. ' of `' .. key .. '` is not ours, and the event ' .. id .. ' comes before it; take out what is behind '
                .. last .. ': EVAL "' .. TAKE_OUT .. '" 1 ' .. key .. ' ' .. last
            break
        end
        for nth = 1, count do words[own[nth]] = ARGV[at + nth] end
        local answer = redis.pcall('XADD', key, id, unpack(words))
        if type(answer) == 'table' then
            why, said = 'later', answer.err
            break
        end
        added = id
    end
    done = done + 1
    at = at + count + 1
end
if added then
    redis.call('SET', KEYS[2], added)
    redis.call('XTRIM', key, 'MAXLEN', '~', ARGV[2])
    if why == '' and is_foreign then said = 'it has entries that are not ours' end
end
return {done, why, said}
