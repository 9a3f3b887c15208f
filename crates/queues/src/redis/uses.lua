-- ARGV how many at most. Returns the uses of limits (limit, jobs, tokens leased), the holds (limit, ms left), the queue's own limit,
-- its jobs, its tokens (-1: no bucket).
local uses, holds = {}, {}
local all = call('HRANDFIELD', limits().LIMITS, ARGV[1], 'WITHVALUES')
for i = 1, #all, 2 do
  local l = limits().limit(all[i])
  uses[#uses + 1] = { l.id, l.running, l.tokens }
end
local rules = call('HGETALL', K .. ':rules')
for i = 1, #rules, 2 do
  if sub(rules[i], 1, 1) == 'h' then
    if tonumber(rules[i + 1]) > NOW then
      holds[#holds + 1] = { sub(rules[i], 2), rules[i + 1] - NOW }
    end
  end
end
local settings, held, tokens = call('HMGET', SETTINGS, 'limit', 'tokens', 'stamp'), 0, -1
if settings[1] then
  for _, worker in ipairs(holders()) do held = held + call('HLEN', running(worker)) end
  local _, count, period, burst = read('>i4i4di4', settings[1])
  if count > 0 then
    tokens = math.min(burst, tonumber(settings[2] or burst) + (NOW - (settings[3] or NOW)) * count / period)
  end
end
return { uses, holds, settings[1] or '', held, string.format('%.17g', tokens) }
