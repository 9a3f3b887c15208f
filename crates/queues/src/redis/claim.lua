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
local jobs, asked = {}, {}

-- Jobs that passed their gates become ready, and their gates say so. Or they are taken at once where nobody else is ready.
local function let_pass(passed, records)
  local tickets, gates = {}, {}
  for i, id in ipairs(passed) do
    local place = gate_place(records[i])
    tickets[i] = place .. id
    gates[2 * i - 1], gates[2 * i] = id, gate_record('a', 0, place, gate_rest(records[i]))
  end
  bulk('HSET', GATES, gates)
  make_ready_again(tickets)
end

local low_first = ARGV[5] == '1'
local function take_passed(passed, records)
  for step = 0, 2 do
    local band = low_first and 2 - step or step
    for i = 1, #passed do
      if byte(records[i], 18) == band then jobs[#jobs + 1] = passed[i] end
    end
  end
end

if tonumber(settings[2] or 0) > 0 then
  local passed, records, questions = admit(most, quantum, MOST_LOOKS)
  local waits = #questions > 0 and ARGV[6] == '0'
  asked = questions
  if waits or call('EXISTS', ring(0), ring(1), ring(2)) > 0 then
    let_pass(passed, records)
  else
    take_passed(passed, records)
  end
  if waits then return { NOW, {}, {}, asked } end
end

-- The tenants of a band in turn. Most queues have no weights, and nobody paused.
local looks = 0
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

for step = 0, 2 do claim_band(low_first and 2 - step or step) end
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
