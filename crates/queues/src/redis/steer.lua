-- ARGV `pause` or `resume`, and a tenant or nothing; `weight`, tenant, weight; `limit` and its rule without version, or nothing. Returns
-- 1 if the same is to be called again.
local MOST, PARKED = 1000, K .. ':parked'
local what, tenant = ARGV[1], ARGV[2]
if what == 'weight' then
  call('HSET', K .. ':weights', tenant, ARGV[3])
elseif what == 'limit' then
  if tenant ~= '' then call('HSET', SETTINGS, 'limit', tenant) else call('HDEL', SETTINGS, 'limit', 'tokens', 'stamp') end
  wake()
elseif what == 'pause' then
  if tenant == '' then call('HSET', SETTINGS, 'paused', '1') else call('HSETNX', PARKED, tenant, '') end
elseif tenant == '' then
  call('HDEL', SETTINGS, 'paused')
  wake()
else
  -- What was taken out of the rings while it was paused.
  local bands = call('HGET', PARKED, tenant) or ''
  call('HDEL', PARKED, tenant)
  for i = 1, #bands do
    local band = tonumber(sub(bands, i, i))
    call('LREM', ring(band), 0, tenant)
    if in_use(K .. ':ready:' .. string.char(band) .. tenant) then call('RPUSH', ring(band), tenant) end
  end
  local all = call('LPOP', K .. ':parked:' .. tenant, MOST) or {}
  for _, lane in ipairs(all) do
    local one = lanes().lane(lane)
    if one then lanes().open(one) end
  end
  save_lanes()
  wake()
  return #all == MOST and 1 or 0
end
return 0
