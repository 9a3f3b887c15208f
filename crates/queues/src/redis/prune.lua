-- ARGV age of dead letters in ms, how many of them at most, how many completed and cancelled jobs at most. One step: at most 250 of each kind. Returns how many were removed, and 1 if
-- there may be more.
local STEP = 250
-- Removes those up to a score from a hash, and the first of those beyond so many.
local function forget(hash, order, till, most)
  local old = call('ZRANGEBYSCORE', order, '-inf', till, 'LIMIT', 0, STEP)
  local beyond = call('ZCARD', order) - most
  if beyond > #old then old = call('ZRANGE', order, 0, math.min(beyond, STEP) - 1) end
  bulk('HDEL', hash, old)
  bulk('ZREM', order, old)
  return #old
end
local old = forget(K .. ':finished', K .. ':forget', NOW, ARGV[3])
local dead = forget(K .. ':dead', K .. ':died', string.format('(%.0f', NOW - ARGV[1]), ARGV[2])

-- Removes the fields of a hash that are over. The scan goes on where the last step ended. Returns how many, and whether there is more.
local function sweep(key, cursor, is_over)
  local gone, scan = {}, call('HSCAN', key, call('HGET', SETTINGS, cursor) or '0', 'COUNT', STEP)
  for i = 1, #scan[2], 2 do
    if is_over(scan[2][i], scan[2][i + 1]) then gone[#gone + 1] = scan[2][i] end
  end
  bulk('HDEL', key, gone)
  if scan[1] == '0' then call('HDEL', SETTINGS, cursor) else call('HSET', SETTINGS, cursor, scan[1]) end
  return #gone, scan[1] ~= '0'
end

-- Marks whose time is over and whose job is gone; and holds, which are no jobs and so are not counted.
local marks, more_marks = sweep(K .. ':marks', 'cursor', function(_, mark)
  return read('>I8', mark, 17) <= NOW and call('HEXISTS', BODIES, sub(mark, 1, 16)) == 0
end)
local _, more_holds = sweep(K .. ':rules', 'held', function(field, till)
  return sub(field, 1, 1) == 'h' and tonumber(till) <= NOW
end)
local more = old == STEP or dead == STEP or more_marks or more_holds
return { old + dead + marks, more and 1 or 0 }
