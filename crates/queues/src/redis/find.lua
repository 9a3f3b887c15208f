-- ARGV a state, how many at most. Returns jobs that may be in it: the latest, as far as the order of its place tells.
local state, most, all = ARGV[1], tonumber(ARGV[2]), {}

local function add(ids, is_ticket)
  for _, id in ipairs(ids) do
    if #all >= most then return end
    all[#all + 1] = is_ticket and job(id) or id
  end
end

local function add_line(line)
  add(call('ZREVRANGE', returned(line), 0, most - 1))
  add(call('LRANGE', line, -most, -1))
end

if state == 'scheduled' then
  add(call('ZREVRANGE', LATER, 0, most - 1), true)
elseif state == 'dead' then
  add(call('ZREVRANGE', K .. ':died', 0, most - 1))
elseif state == 'completed' or state == 'cancelled' then
  add(call('ZREVRANGE', K .. ':forget', 0, most - 1))
elseif state == 'running' then
  for _, worker in ipairs(holders()) do add(call('HKEYS', running(worker))) end
elseif state == 'waiting' then
  local lanes = call('HRANDFIELD', K .. ':lanes', most)
  for _, lane in ipairs(lanes) do
    if #all < most then add_line(K .. ':lane:' .. lane) end
  end
else
  for band = 0, 2 do
    local tenants = call('LRANGE', ring(band), 0, most - 1)
    for _, tenant in ipairs(call('HKEYS', K .. ':parked')) do tenants[#tenants + 1] = tenant end
    for _, tenant in ipairs(tenants) do
      if #all < most then add_line(K .. ':ready:' .. string.char(band) .. tenant) end
    end
  end
end
return all
