-- The id of the last entry that a stream ever had; nil where there is no stream.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then return info[at + 1] end
end
return false
