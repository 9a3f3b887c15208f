-- Lanes and limits. A gate is what a job with a lane has to pass: `w` or `a` (waits, admitted), when it is due (8), its place, `o` or `l`
-- (ordered or not), the lane, its limits. A lane: `o` open (among the open lanes; and for which limit it was opened), `b` blocked by a limit,
-- `t` waits for the time of its first job, `r` ordered and one of its jobs is admitted, `p` its tenant is paused; and its turn (8): when
-- it was served last, or made.
local LANES, OPEN, AT, LIMITS, RULES = K .. ':lanes', K .. ':open', K .. ':at', K .. ':limits', K .. ':rules'
local LEASED, WAITING = K .. ':leased', 'waiting'
local ALL = 1e9
local LOOK_AGAIN = 5000 -- ms; a blocked limit is looked at so often even if nobody says that it moved
local ASK_AGAIN = 100 -- ms; so often a queue asks for what another queue has
local ASKING = 2000 -- ms; if there is no answer by then, another worker asks
local RENEW = 2000 -- ms

local function gate(record)
  local size = #record
  local lane, at = read('>I2c0', record, 37)
  local limits, limit = {}, nil
  while at <= size do
    limit, at = read('>I2c0', record, at)
    limits[#limits + 1] = limit
  end
  return { due = read('>I8', record, 2), ordered = byte(record, 36) == 111, lane = lane, limits = limits }
end
local function gate_place(record) return sub(record, 10, 35) end
local function gate_rest(record) return sub(record, 36) end
local function gate_record(state, due, place, rest) return state .. pack('>I8', due) .. place .. rest end

local function lane_line(lane) return K .. ':lane:' .. lane end

-- How a limit stands here: jobs, units leased, cap (-1: none), number of the last question, 1 if lanes may wait for it; until when the lease may be
-- used, tokens leased, last use, until when somebody asks, when to ask again.
local STATE = '>i4i4i4i4i4ddddd'
local states, touched = {}, {}

local function new_limit(id, raw, rule, holds)
  local l = { id = id, running = 0, units = 0, cap = -1, ask = 0, blocks = 0, lease = 0, tokens = 0, used = 0, asking = 0, again = 0 }
  l.units_wanted, l.tokens_wanted, l.hold = 0, 0, holds
  if raw then
    l.running, l.units, l.cap, l.ask, l.blocks, l.lease, l.tokens, l.used, l.asking, l.again = read(STATE, raw)
  end
  if rule then
    l.rule = rule
    l.most, l.count, l.period, l.burst = read('>i4i4di4', rule, 10)
    if l.most < 0 then l.most = nil end
    if l.count == 0 then l.count = nil end
  end
  states[id] = l
end

local function fetch_limits(ids)
  local new, fields = {}, {}
  for _, id in ipairs(ids) do
    if not states[id] then
      local name = string.match(id, '^%Z*')
      new[#new + 1] = id
      for _, field in ipairs({ 's' .. id, 's' .. name, 'h' .. id, 'h' .. name }) do fields[#fields + 1] = field end
    end
  end
  local raw, rules = many(LIMITS, new), many(RULES, fields)
  for i, id in ipairs(new) do
    local own, of_name, held, name_held = unpack(rules, 4 * i - 3, 4 * i)
    local rule = own and byte(own, 9) == 49 and own or of_name and byte(of_name, 9) == 49 and of_name or nil
    new_limit(id, raw[i], rule, math.max(tonumber(held or 0), tonumber(name_held or 0)))
  end
end

local function limit(id)
  if not states[id] then fetch_limits({ id }) end
  return states[id]
end

local function touch(l) touched[l.id] = l end

local function save_limits()
  local set, gone = {}, {}
  for id, l in pairs(touched) do
    if l.running <= 0 and l.blocks == 0 and not l.rule then
      gone[#gone + 1] = id
    else
      set[#set + 1] = id
      set[#set + 1] = pack(STATE, l.running, l.units, l.cap, l.ask, l.blocks, l.lease, l.tokens, l.used, l.asking, l.again)
    end
  end
  bulk('HSET', LIMITS, set)
  bulk('HDEL', LIMITS, gone)
  touched = {}
end

-- How many jobs it lets pass now.
local function room(l)
  if l.hold > NOW then return 0 end
  if not l.rule then return ALL end
  if l.lease <= NOW then return 0 end
  local most = ALL
  if l.most then most = math.min(l.units, l.most) - l.running end
  if l.count then most = math.min(most, l.tokens) end
  return most
end

-- Why it lets nothing pass, and when to look again.
local function wants(l, block)
  if l.hold > NOW then return l.hold end
  local asks = false
  if l.most and l.units <= l.running and l.running < l.most then
    l.units_wanted = math.max(l.units_wanted, math.min(block, l.most - l.running))
    asks = true
  end
  if l.count and l.tokens < 1 then
    l.tokens_wanted = math.max(l.tokens_wanted, math.min(block, l.burst))
    asks = true
  end
  if l.lease <= NOW then asks = true end
  l.wanted = l.wanted or asks
  return asks and math.max(NOW + ASK_AGAIN, l.again) or NOW + LOOK_AGAIN
end

-- Lanes as they are, and what is to be written of them at the end.
local lane_records, changed_lanes, opened, gates_to_write, waiting_change = {}, {}, {}, {}, 0

local function fetch_lanes(lanes)
  for i, record in ipairs(many(LANES, lanes)) do
    if lane_records[lanes[i]] == nil then lane_records[lanes[i]] = record end
  end
end

local function lane_record(lane)
  if lane_records[lane] == nil then lane_records[lane] = call('HGET', LANES, lane) end
  return lane_records[lane]
end

local function put_lane(lane, record)
  lane_records[lane] = record
  changed_lanes[lane] = true
end

local turns, last_turn = 0, 0
local TURNS = 64 -- reserved at once
local function next_turn()
  if turns == last_turn then
    last_turn = call('INCRBY', K .. ':positions', TURNS)
    turns = last_turn - TURNS
  end
  turns = turns + 1
  return turns
end

local function set_lane(lane, state, turn, rest) put_lane(lane, state .. pack('>I8', turn) .. (rest or '')) end

local function open(lane, opened_for)
  local record = lane_record(lane)
  local turn = record and read('>I8', record, 2) or next_turn()
  set_lane(lane, 'o', turn, opened_for)
  opened[#opened + 1] = turn
  opened[#opened + 1] = lane
end

local function save_open()
  bulk('ZADD', OPEN, opened)
  opened = {}
end

local function save()
  local set, gone = {}, {}
  for lane in pairs(changed_lanes) do
    local record = lane_records[lane]
    if record then
      set[#set + 1] = lane
      set[#set + 1] = record
    else
      gone[#gone + 1] = lane
    end
  end
  bulk('HSET', LANES, set)
  bulk('HDEL', LANES, gone)
  bulk('HSET', GATES, gates_to_write)
  if waiting_change ~= 0 then call('HINCRBY', SETTINGS, WAITING, waiting_change) end
  changed_lanes, gates_to_write, waiting_change = {}, {}, 0
  save_open()
  save_limits()
end

local function blocked_by(id) return K .. ':blocked:' .. id end

-- Whenever a limit has room and lanes wait for it, one of them is open: each visit to a lane opens the next.
local function open_next(l)
  if l.blocks == 0 or room(l) < 1 then return end
  local lane = call('ZPOPMIN', blocked_by(l.id))[1]
  if lane then
    open(lane, l.id)
  else
    l.blocks = 0
    touch(l)
    call('ZREM', AT, 'b' .. l.id)
  end
end

local function block(lane, turn, l, size)
  set_lane(lane, 'b', turn)
  l.blocks = 1
  touch(l)
  call('ZADD', blocked_by(l.id), turn, lane)
  call('ZADD', AT, wants(l, size), 'b' .. l.id)
end

-- Lanes and limits whose time has come.
local function open_due(most)
  for _, what in ipairs(call('ZRANGEBYSCORE', AT, '-inf', NOW, 'LIMIT', 0, most)) do
    local id = sub(what, 2)
    if sub(what, 1, 1) == 'l' then
      call('ZREM', AT, what)
      open(id)
    else
      local lane = call('ZPOPMIN', blocked_by(id))[1]
      if lane then
        open(lane, id)
        call('ZADD', AT, NOW + LOOK_AGAIN, what)
      else
        call('ZREM', AT, what)
      end
    end
  end
end

-- Looks again at a lane that waits for the time of its first job: it may have another first one now.
local function reopen_timed(lane)
  local record = lane_record(lane)
  if record and sub(record, 1, 1) == 't' then
    call('ZREM', AT, 'l' .. lane)
    open(lane)
  end
  return record
end

-- Into its lane, `due` at a later time only if the lane is ordered. `rest`: of its gate.
local function join_lane(place, id, rest, came_back, due)
  local record = gate_record('w', due or 0, place, rest)
  local lane = (read('>I2c0', rest, 2))
  local line = lane_line(lane)
  if came_back then call('ZADD', returned(line), position(place), id) else call('RPUSH', line, id) end
  gates_to_write[#gates_to_write + 1] = id
  gates_to_write[#gates_to_write + 1] = record
  waiting_change = waiting_change + 1
  if not reopen_timed(lane) then open(lane) end
end

-- An admitted job gives its places back.
local function leave(g)
  for _, id in ipairs(g.limits) do
    local l = limit(id)
    l.running = math.max(l.running - 1, 0)
    if l.cap >= 0 and l.units > math.max(l.cap, l.running) then
      l.units = math.max(l.cap, l.running)
      call('ZADD', LEASED, NOW, id)
    end
    touch(l)
    open_next(l)
  end
  if g.ordered then
    if in_use(lane_line(g.lane)) then open(g.lane) else put_lane(g.lane, false) end
  end
end

-- A job that is not admitted leaves its lane.
local function take_out_waiting(id, record)
  local g = gate(record)
  take_out(lane_line(g.lane), id)
  waiting_change = waiting_change - 1
  reopen_timed(g.lane)
end

-- Questions to the limits' own slots, for the client to ask: limit, number, units held, units and tokens wanted, tokens given
-- back, the rule.
local function question(l, give)
  if l.asking > NOW then return nil end
  l.ask = l.ask + 1
  l.asking = NOW + ASKING
  touch(l)
  return { l.id, l.ask, l.units, l.units_wanted, l.tokens_wanted, give, l.rule }
end

local function questions()
  local all = {}
  for _, l in pairs(states) do
    if l.wanted and l.again <= NOW then all[#all + 1] = question(l, 0) end
  end
  return all
end
