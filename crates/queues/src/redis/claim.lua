-- ARGV worker, lease (0: unknown), claim number (8 bytes), most, 1 to begin with the lowest band, 1 if questions were answered: before that,
-- no ready job is taken while there are any, so that what they let pass has its place. Returns time, jobs, bodies, questions.
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

-- Jobs that passed their gates become ready. Or they are taken at once where nobody else is ready.
local function let_pass(passed)
  local tickets, admitted = {}, {}
  for i, body in ipairs(many(BODIES, passed)) do
    if body then
      tickets[#tickets + 1] = place_of(body) .. passed[i]
      admitted[#admitted + 1] = passed[i]
      admitted[#admitted + 1] = ''
    end
  end
  bulk('HSET', ADMITTED, admitted)
  make_ready_again(tickets)
end

-- How many are wanted beside those that are ready: if these few are all taken, the next claim finds none.
local function wanted()
  if call('EXISTS', K .. ':parked') == 1 then return most end
  local ready = call('HLEN', BODIES) - settings[2] - call('ZCARD', LATER)
  for _, holder in ipairs(holders()) do ready = ready - call('HLEN', running(holder)) end
  return ready < most and most - math.max(ready, 0) or most
end

local gates_of -- of jobs that are taken as they pass
if tonumber(settings[2] or 0) > 0 then
  local is_ready = call('EXISTS', ring(0), ring(1), ring(2)) > 0
  local passed, gates_passed, questions = admit(is_ready and wanted() or most, quantum, MOST_LOOKS, ARGV[6] == '0')
  asked = questions
  if not is_ready then
    jobs, gates_of = passed, gates_passed
  else
    let_pass(passed)
    if #asked > 0 and ARGV[6] == '0' then return { NOW, {}, {}, asked } end
  end
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

local low_first = ARGV[5] == '1'
local function bands_do(what)
  for step = 0, 2 do what(low_first and 2 - step or step) end
end
if not gates_of then bands_do(claim_band) end
if #jobs == 0 then return { NOW, {}, {}, asked } end
if tokens then call('HSET', SETTINGS, 'tokens', string.format('%.17g', tokens - #jobs), 'stamp', NOW) end

-- What holds them: the number of the claim, their kind, and the gate that they passed.
local bodies, values, pairs_held = many(BODIES, jobs), {}, {}
local ids, texts, n, watched, admitted = {}, {}, 0, {}, {}
local function hold(i)
  local body, id = bodies[i], jobs[i]
  local its_kind, gate = byte(body, PLACE + 9), ''
  if its_kind ~= PLAIN then
    if is_laned(its_kind) then gate = gates_of and gates_of[i] or gate_of(body) end
    if is_laned(its_kind) and not gates_of then admitted[#admitted + 1] = id end
    if is_watched(its_kind) then
      watched[#watched + 1] = id
      watched[#watched + 1] = worker
    end
  end
  local of_kind = values[its_kind] or {}
  values[its_kind] = of_kind
  local value = of_kind[gate]
  if not value then
    value = number .. string.char(its_kind) .. gate
    of_kind[gate] = value
  end
  n = n + 1
  ids[n], texts[n] = id, body
  pairs_held[2 * n - 1], pairs_held[2 * n] = id, value
end

-- What has no body was lost with a crash of the server.
if gates_of then
  bands_do(function(band)
    for i = 1, #jobs do
      if bodies[i] and byte(bodies[i], PLACE + 8) == band then hold(i) end
    end
  end)
else
  for i = 1, #jobs do
    if bodies[i] then hold(i) end
  end
end
bulk('HSET', running(worker), pairs_held)
bulk('HSET', HELD, watched)
bulk('HDEL', ADMITTED, admitted)
if #jobs == most then wake() end
return { NOW, ids, texts, asked }
