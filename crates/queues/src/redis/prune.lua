-- ARGV age of dead letters in ms, how many of them at most. One step: at most 250 of each kind. Returns how many were removed, and 1 if
-- there may be more.
local STEP, MARKS = 250, K .. ':marks'
local old = call('ZRANGEBYSCORE', K .. ':forget', '-inf', NOW, 'LIMIT', 0, STEP)
bulk('HDEL', K .. ':finished', old)
bulk('ZREM', K .. ':forget', old)

local dead = call('ZRANGEBYSCORE', K .. ':died', '-inf', string.format('(%.0f', NOW - ARGV[1]), 'LIMIT', 0, STEP)
local beyond = call('ZCARD', K .. ':died') - ARGV[2]
if beyond > #dead then dead = call('ZRANGE', K .. ':died', 0, math.min(beyond, STEP) - 1) end
bulk('HDEL', K .. ':dead', dead)
bulk('ZREM', K .. ':died', dead)

-- Marks whose time is over and whose job is gone. The scan goes on where the last step ended.
local gone, cursor = {}, call('HGET', K .. ':settings', 'cursor') or '0'
local scan = call('HSCAN', MARKS, cursor, 'COUNT', STEP)
for i = 1, #scan[2], 2 do
  local mark = scan[2][i + 1]
  if read('>I8', mark, 17) <= NOW and call('HEXISTS', BODIES, sub(mark, 1, 16)) == 0 then gone[#gone + 1] = scan[2][i] end
end
bulk('HDEL', MARKS, gone)
if scan[1] == '0' then call('HDEL', K .. ':settings', 'cursor') else call('HSET', K .. ':settings', 'cursor', scan[1]) end
local more = #old == STEP or #dead == STEP or scan[1] ~= '0'
return { #old + #dead + #gone, more and 1 or 0 }
