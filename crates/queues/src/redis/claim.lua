-- ARGV worker, lease (0: unknown), claim number (8 bytes), most, 1 to begin with the lowest band, 1 if questions were answered: before that,
-- nothing is taken while there are any, so that what they let pass has its place. Returns time, jobs, bodies, questions.
local worker, lease, number, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local deadline = call('ZSCORE', WORKERS, worker)
if not deadline then return { NOW, {}, {}, {} } end
if lease > 0 and tonumber(deadline) > NOW then call('ZADD', WORKERS, NOW + lease, worker) end
local settings = call('HMGET', SETTINGS, 'paused', WAITING, 'limit', 'tokens', 'stamp')
if settings[1] then return { NOW, {}, {}, {} } end

-- The queue's own limit.
local tokens
if settings[3] then
  local at_once, count, period, burst = read('>i4i4di4', settings[3])
  if at_once >= 0 then
    local jobs = 0
    for _, holder in ipairs(holders()) do jobs = jobs + call('HLEN', running(holder)) end
    most = math.min(most, at_once - jobs)
  end
  if count > 0 then
    tokens = tonumber(settings[4] or burst)
    tokens = math.min(burst, tokens + (NOW - tonumber(settings[5] or NOW)) * count / period)
    most = math.min(most, math.floor(tokens))
  end
end
if most < 1 then return { NOW, {}, {}, {} } end
local quantum = math.max(1, math.floor(tonumber(ARGV[4]) / 10))
local MOST_LOOKS = 4 * most + 64 -- so many places in lines are looked at, taken or not

local paused = {}
local function is_paused(tenant)
  if paused[tenant] == nil then paused[tenant] = call('HEXISTS', K .. ':parked', tenant) == 1 end
  return paused[tenant]
end

-- Lets jobs of a lane pass, as many as their limits have room for; returns how many, and the limit that has none.
local passed = {}
local function pass(line, g, record, first, most_now)
  local free, narrow = g.ordered and 1 or most_now, nil
  for _, id in ipairs(g.limits) do
    local more = room(limit(id))
    if more < free then free, narrow = more, limit(id) end
  end
  if free < 1 then return 0, narrow end
  local jobs, records, rest = { first }, {}, gate_rest(record)
  if free > 1 then
    local more = take(line, free - 1)
    records = many(GATES, more)
    for i = 1, #more do jobs[i + 1] = more[i] end
  end
  for i, id in ipairs(jobs) do
    local place = i == 1 and gate_place(record) or records[i - 1] and gate_place(records[i - 1])
    if place then
      passed[#passed + 1] = place .. id
      gates_to_write[#gates_to_write + 1] = id
      gates_to_write[#gates_to_write + 1] = gate_record('a', 0, place, rest)
    end
  end
  waiting_change = waiting_change - #jobs
  for _, id in ipairs(g.limits) do
    local l = limit(id)
    l.running = l.running + #jobs
    if l.count then l.tokens = l.tokens - #jobs end
    l.used = NOW
    touch(l)
  end
  return #jobs
end

-- The first job of an open lane, and others of it. Returns how many were admitted.
local function serve(lane, turn, first, record, g, share)
  local line = lane_line(lane)
  if share < 1 then
    call('ZADD', returned(line), position(gate_place(record)), first)
    open(lane)
    return 0
  elseif g.due > NOW then
    call('ZADD', returned(line), position(gate_place(record)), first)
    set_lane(lane, 't', turn)
    call('ZADD', AT, g.due, 'l' .. lane)
    return 0
  end
  for _, id in ipairs(g.limits) do
    if limit(id).blocks == 1 then share = math.min(share, quantum) end -- others wait for it too
  end
  local admitted, narrow = pass(line, g, record, first, share)
  if admitted == 0 then
    call('ZADD', returned(line), position(gate_place(record)), first)
    block(lane, turn, narrow, most)
  elseif g.ordered then
    set_lane(lane, 'r', next_turn())
  elseif in_use(line) then
    set_lane(lane, 'o', next_turn())
    open(lane)
  else
    put_lane(lane, false)
  end
  for _, id in ipairs(g.limits) do open_next(limit(id)) end
  return admitted
end

-- The first jobs of these lanes; an entry of a lane that is not open any more is passed over.
local function first_of(lanes)
  local firsts, ids, at = {}, {}, {}
  for i, lane in ipairs(lanes) do
    local record = lane_record(lane)
    if record and byte(record) == 111 then
      local tenant = sub(lane, 2, 17)
      if is_paused(tenant) then
        set_lane(lane, 'p', read('>I8', record, 2))
        call('RPUSH', K .. ':parked:' .. tenant, lane)
      else
        local line = lane_line(lane)
        local first = take(line, 1)[1]
        if first then
          firsts[i] = first
          ids[#ids + 1] = first
          at[#at + 1] = i
        elseif in_use(line) then
          open(lane) -- behind ghosts
        else
          put_lane(lane, false)
        end
      end
    end
  end
  local records, gates, needed = {}, {}, {}
  for k, record in ipairs(many(GATES, ids)) do
    records[at[k]] = record
    if record then
      local g = gate(record)
      gates[at[k]] = g
      for _, id in ipairs(g.limits) do needed[#needed + 1] = id end
    end
  end
  fetch_limits(needed)
  return firsts, records, gates
end

-- Serves so many lanes at once, those that wait longest.
local function round(left)
  save_open()
  local popped, lanes, admitted, expected = call('ZPOPMIN', OPEN, left), {}, 0, 0
  for i = 1, #popped, 2 do
    if expected < left then
      lanes[#lanes + 1] = popped[i]
      expected = expected + (byte(popped[i]) == 111 and 1 or quantum)
    else
      opened[#opened + 1] = popped[i + 1]
      opened[#opened + 1] = popped[i]
    end
  end
  if #lanes == 0 then return 0, 0 end
  fetch_lanes(lanes)
  local was = {}
  for i, lane in ipairs(lanes) do was[i] = lane_record(lane) end
  local share = math.max(quantum, math.floor(left / #lanes))
  local firsts, records, gates = first_of(lanes)
  for i, lane in ipairs(lanes) do
    if records[i] then
      local turn = read('>I8', was[i], 2)
      admitted = admitted + serve(lane, turn, firsts[i], records[i], gates[i], math.min(share, left - admitted))
    elseif firsts[i] then
      open(lane) -- its gate was lost with a crash of the server: nobody can run it
    end
    local opened_for = was[i] and byte(was[i]) == 111 and sub(was[i], 10) or ''
    if opened_for ~= '' then open_next(limit(opened_for)) end
  end
  return admitted, #lanes
end

local asked = {}
if tonumber(settings[2] or 0) > 0 then
  open_due(most)
  local admitted, looks = 0, 0
  while admitted < most and looks < MOST_LOOKS do
    local some, looked = round(most - admitted)
    if looked == 0 then break end
    admitted, looks = admitted + some, looks + looked
  end
  make_ready_again(passed)
  asked = questions()
  save()
  if #asked > 0 and ARGV[6] == '0' then return { NOW, {}, {}, asked } end
end

-- The tenants of a band in turn.
local jobs, looks = {}, 0
local function turn(band, tenant, weight, credit, alone)
  local line, left = K .. ':ready:' .. string.char(band) .. tenant, most - #jobs
  local share = credit or quantum * weight
  local want = alone and left or math.min(share, left)
  local some = take(line, want)
  if #jobs == 0 then jobs = some else for i = 1, #some do jobs[#jobs + 1] = some[i] end end
  looks = looks + want
  local cut = weight > 1 and not alone and want < share and share - want or nil
  if credit or cut then
    if cut then call('HSET', K .. ':credit', tenant, cut) else call('HDEL', K .. ':credit', tenant) end
  end
  return in_use(line), cut
end

-- Most queues have no weights, and nobody paused.
local has = {}
local function of_tenants(what, tenants)
  if has[what] == nil then has[what] = call('EXISTS', K .. what) == 1 end
  return has[what] and call('HMGET', K .. what, unpack(tenants)) or {}
end

local function claim_band(band)
  local key = ring(band)
  while #jobs < most and looks < MOST_LOOKS do
    local tenants = call('LPOP', key, math.ceil((most - #jobs) / quantum))
    if not tenants then return end
    local weights, credits, parked = of_tenants(':weights', tenants), of_tenants(':credit', tenants), of_tenants(':parked', tenants)
    local alone = #tenants == 1 and call('LLEN', key) == 0
    local first, last = {}, {}
    for i, tenant in ipairs(tenants) do
      if parked[i] then
        if not string.find(parked[i], band, 1, true) then call('HSET', K .. ':parked', tenant, parked[i] .. band) end
      elseif #jobs >= most then
        first[#first + 1] = tenant
      else
        local more, cut = turn(band, tenant, tonumber(weights[i] or 1), tonumber(credits[i] or nil), alone)
        if more and cut then first[#first + 1] = tenant elseif more then last[#last + 1] = tenant end
      end
    end
    bulk('RPUSH', key, last)
    for i = #first, 1, -1 do call('LPUSH', key, first[i]) end
  end
end

if ARGV[5] == '1' then
  for band = 2, 0, -1 do claim_band(band) end
else
  for band = 0, 2 do claim_band(band) end
end
if #jobs == 0 then return { NOW, {}, {}, asked } end
if tokens then call('HSET', SETTINGS, 'tokens', string.format('%.17g', tokens - #jobs), 'stamp', NOW) end


-- What holds them: the number of the claim, and their kind.
local bodies, values, pairs_held, watched = many(BODIES, jobs), {}, {}, {}
local ids, texts, n = {}, {}, 0
for i = 1, #jobs do
  local body, id = bodies[i], jobs[i]
  if body then -- else it was lost with a crash of the server
    local its_kind = byte(body, PLACE + 9)
    local value = values[its_kind]
    if not value then
      value = number .. string.char(its_kind)
      values[its_kind] = value
    end
    n = n + 1
    ids[n], texts[n] = id, body
    pairs_held[2 * n - 1], pairs_held[2 * n] = id, value
    if its_kind ~= PLAIN then
      watched[#watched + 1] = id
      watched[#watched + 1] = worker
    end
  end
end
bulk('HSET', running(worker), pairs_held)
bulk('HSET', HELD, watched)
if #jobs == most then wake() end
return { NOW, ids, texts, asked }
