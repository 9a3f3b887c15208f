-- Where the stream of a lane ends. The scripts that ask begin with this.

-- Whether the first place comes before the second one. Their numbers are texts without leading zeros, so that none is too large.
local function before(one, other)
    local a, one_pos = string.match(one, '^(%d+)-(%d+)$')
    local b, other_pos = string.match(other, '^(%d+)-(%d+)$')
    if a == b then a, b = one_pos, other_pos end
    return #a < #b or (#a == #b and a < b)
end

-- The id of the newest entry that is an event, whose place is its id; '0-0' if there is none. nil where none of the newest thousand is one:
-- the server waits for this.
local function newest(stream)
    local from = '+'
    for _ = 1, 100 do
        local entries = redis.call('XREVRANGE', stream, from, '-', 'COUNT', 10)
        for _, entry in ipairs(entries) do
            local id, words = entry[1], entry[2]
            for at = 1, #words, 2 do
                if words[at] == 'ce-place' and words[at + 1] == id then return id end
            end
        end
        if #entries < 10 then return '0-0' end
        from = '(' .. entries[#entries][1]
    end
end

-- Takes out what is newer than the newest event: an operator may let the server wait for that.
local TAKE_OUT_NEWEST = "local n,f,c=0,'+',redis.call repeat local b=c('XREVRANGE',KEYS[1],f,'-','COUNT',100) for _,x in ipairs(b) do "
    .. "local w=x[2] for i=1,#w,2 do if w[i]=='ce-place' and w[i+1]==x[1] then return n end end "
    .. "n=n+c('XDEL',KEYS[1],x[1]) f='('..x[1] end until #b<100 return n"

-- The last id of a stream, and the last place of ours in it, '0-0' for none; or why that can't be known. Another's entry has an id as well, so
-- the place is kept beside the stream. That is not believed where the stream does not bear it out: either may be lost without the other.
local function ends(stream, beside)
    local kind = redis.call('TYPE', stream).ok
    if kind == 'none' then return '0-0', '0-0' end
    if kind ~= 'stream' then return nil, nil, '`' .. stream .. '` is a ' .. kind .. ', and no stream: `DEL ' .. stream .. '`' end
    local top
    local info = redis.call('XINFO', 'STREAM', stream)
    for at = 1, #info, 2 do
        if info[at] == 'last-generated-id' then top = info[at + 1] end
    end
    local last = redis.pcall('GET', beside)
    if type(last) == 'string' and string.match(last, '^%d+-%d+$') and not before(top, last) then
        if last == top or #redis.call('XRANGE', stream, last, last) > 0 then return top, last end
    end
    last = newest(stream)
    if last then return top, last end
    return nil, nil, 'none of the newest 1000 entries of `' .. stream .. '` is ours, and `' .. beside
        .. '` does not tell the last that is; take out those that are not: EVAL "' .. TAKE_OUT_NEWEST .. '" 1 ' .. stream
end

