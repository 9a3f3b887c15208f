-- The rules and holds of all queues, of which each queue has a copy. KEYS a hash; ARGV `set`, limit, rule without its version: returns
-- the rule; `hold`, limit, ms; `all`: returns kind, limit, rule or ms left for each.
local call, what, id = redis.call, ARGV[1], ARGV[2]
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if what == 'set' then
  local rule = struct.pack('>I8', call('HINCRBY', KEYS[1], 'version', 1)) .. ARGV[3]
  call('HSET', KEYS[1], 's' .. id, rule)
  return rule
elseif what == 'hold' then
  call('HSET', KEYS[1], 'h' .. id, now + ARGV[3])
  return ''
end
local all, stored = {}, call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  local kind, value = string.sub(stored[i], 1, 1), stored[i + 1]
  if kind == 'h' then
    value = string.format('%.0f', value - now)
    if tonumber(value) <= 0 then
      call('HDEL', KEYS[1], stored[i])
      kind = nil
    end
  end
  if kind == 's' or kind == 'h' then all[#all + 1] = { kind, string.sub(stored[i], 2), value } end
end
return all
