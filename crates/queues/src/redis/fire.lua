-- ARGV schedule, slot, next; then jobs as in enqueue. Returns what enqueue does, or nil if the slot has been fired, or the schedule was paused
-- since it was found due. It moves on behind the jobs: a script that fails keeps what it has written, and a slot is not to be lost.
if call('HGET', K .. ':slots', ARGV[1]) ~= ARGV[2] or call('HEXISTS', K .. ':stopped', ARGV[1]) == 1 then return false end

-- And whatever makes one fail does so before it writes anything: keys that are of another type, should there be any, are read here.
local function read_all(command, keys)
  for _, key in ipairs(keys) do call(command, key) end
end
read_all('HLEN', { BODIES, MARKS, SETTINGS, GHOSTS, HELD, ADMITTED, K .. ':lanes', K .. ':limits', K .. ':rules' })
read_all('ZCARD', { LATER, WORKERS, K .. ':open', K .. ':at', K .. ':slots_due' })
read_all('LLEN', { K .. ':wake' })
for at = 4, #ARGV, 4 do
  local owner, line = sub(ARGV[at], 1, 18), nil
  if is_laned(byte(owner, 2)) then
    line = K .. ':lane:' .. gate(read('>I2c0', ARGV[at + 2])).lane
  else
    line = ready_line(owner)
    call('LLEN', ring(byte(owner)))
  end
  call('LLEN', line)
  call('ZCARD', returned(line))
end

local answers = #ARGV > 3 and enqueue(4) or {}
call('HSET', K .. ':slots', ARGV[1], ARGV[3])
call('ZADD', K .. ':slots_due', ARGV[3], ARGV[1])
return answers
