-- Returns whether it is paused, ready, waiting, scheduled, running, dead, and the age of the oldest ready job in ms (-1: none). For
-- the age the first jobs of at most a hundred tenants of a band are looked at.
local TENANTS = 100
local settings = call('HMGET', K .. ':settings', 'paused', 'waiting')
local waiting, scheduled, held = math.max(tonumber(settings[2] or 0), 0), call('ZCARD', LATER), 0
for _, worker in ipairs(holders()) do held = held + call('HLEN', running(worker)) end
local ready = call('HLEN', BODIES) - waiting - scheduled - held

local oldest
local function look(id)
  local body = id and call('HGET', BODIES, id)
  if not body then return end
  local _, _, due = read(HEAD, body)
  if not oldest or due < oldest then oldest = due end
end
local function look_at(band, tenant)
  local line = K .. ':ready:' .. string.char(band) .. tenant
  look(call('ZRANGE', returned(line), 0, 0)[1])
  look(call('LINDEX', line, 0))
end
if ready > 0 then
  for band = 0, 2 do
    for _, tenant in ipairs(call('LRANGE', ring(band), 0, TENANTS - 1)) do look_at(band, tenant) end
    for _, tenant in ipairs(call('HKEYS', K .. ':parked')) do look_at(band, tenant) end
  end
end
return { settings[1] and 1 or 0, math.max(ready, 0), waiting, scheduled, held, call('ZCARD', K .. ':died'), oldest and math.max(NOW - oldest, 0) or -1 }
