-- ARGV `put`, name, record, next, timing (cron and zone); `remove`, name; `pause` or `resume`, name; `put off`, name, slot, until; `all`;
-- `due`. A schedule stays paused, and keeps its next slot if its timing is the same. Times in us.
local RECORDS, SLOTS, DUE, STOPPED, TIMINGS = K .. ':schedules', K .. ':slots', K .. ':slots_due', K .. ':stopped', K .. ':timings'
local what, name = ARGV[1], ARGV[2]

local function rows(names)
  local all = {}
  for _, one in ipairs(names) do
    local record = call('HGET', RECORDS, one)
    if record then all[#all + 1] = { record, call('HGET', SLOTS, one), call('HEXISTS', STOPPED, one) } end
  end
  return all
end

if what == 'put' then
  call('HSET', RECORDS, name, ARGV[3])
  if call('HGET', TIMINGS, name) ~= ARGV[5] then
    call('HSET', TIMINGS, name, ARGV[5])
    call('HSET', SLOTS, name, ARGV[4])
  end
  if call('HEXISTS', STOPPED, name) == 0 then call('ZADD', DUE, call('HGET', SLOTS, name), name) end
  if ARGV[6] == '1' and call('HSET', STOPPED, name, '') == 1 then call('ZREM', DUE, name) end
  return 1
elseif what == 'remove' then
  call('ZREM', DUE, name)
  for _, key in ipairs({ SLOTS, STOPPED, TIMINGS }) do call('HDEL', key, name) end
  return call('HDEL', RECORDS, name)
elseif what == 'pause' or what == 'resume' then
  if call('HEXISTS', RECORDS, name) == 0 then return 0 end
  if what == 'pause' then
    call('HSET', STOPPED, name, '')
    call('ZREM', DUE, name)
  else
    call('HDEL', STOPPED, name)
    call('ZADD', DUE, call('HGET', SLOTS, name), name)
  end
  return 1
elseif what == 'put off' then
  return call('HGET', SLOTS, name) == ARGV[3] and call('ZADD', DUE, 'XX', 'CH', ARGV[4], name) or 0
elseif what == 'all' then
  return rows(call('HKEYS', RECORDS))
end
local us = TIME[1] * 1000000 + TIME[2]
return { us, rows(call('ZRANGEBYSCORE', DUE, '-inf', us, 'LIMIT', 0, 100)) }
