-- Lanes and limits, made for the first job that needs them. A lane: `o` open (among the open lanes; and for which limit it was opened),
-- `b` blocked by a limit, `t` waits for the time of its first job, `r` ordered and one of its jobs is admitted, `p` its tenant is paused;
-- its turn (8): when it was served last, or made; how many jobs wait in it, and how many of those came back (4 each).
local made
local function lanes()
  if made then return made end
  local LANES, OPEN, AT = K .. ':lanes', K .. ':open', K .. ':at'
  local LIMITS, RULES, LEASED = K .. ':limits', K .. ':rules', K .. ':leased'
  local ALL = 1e9
  local LOOK_AGAIN = 5000 -- ms; a blocked limit is looked at so often even if nobody says that it moved
  local ASK_AGAIN = 100 -- ms; so often a queue asks for what another queue has
  local ASKING = 2000 -- ms; if there is no answer by then, another worker asks
  local RENEW = 2000 -- ms

  -- The limits of a gate; its lane.
  local NONE = {}
  local function gate(record)
    local size = #record
    local lane, at = read('>I2c0', record, 37)
    if at > size then return NONE, lane end
    local limits, n = {}, 0
    while at <= size do
      n = n + 1
      limits[n], at = read('>I2c0', record, at)
    end
    return limits, lane
  end

  -- How a limit stands here: jobs, units leased, cap (-1: none), number of the last question, 1 if lanes may wait for it; until when
  -- the lease may be used, tokens leased, last use, until when somebody asks, when to ask again.
  local STATE = '>i4i4i4i4i4ddddd'
  local states, touched = {}, {}

  local EMPTY = pack(STATE, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0)

  local of_rules = { [false] = {} }
  local function parts(rule)
    local known = of_rules[rule]
    if not known then
      local most, count, _, burst = read('>i4i4di4', rule, 10)
      known = { most >= 0 and most or nil, count > 0 and burst or nil }
      of_rules[rule] = known
    end
    return known[1], known[2]
  end

  -- `most` at once, or nil; the bucket's size `burst`, or nil.
  local function new_limit(id, raw, rule, held)
    local running, units, cap, ask, blocks, lease, tokens, used, asking, again = read(STATE, raw or EMPTY)
    local most, burst = parts(rule)
    states[id] = {
      id = id, running = running, units = units, cap = cap, ask = ask, blocks = blocks, lease = lease, tokens = tokens, used = used,
      asking = asking, again = again, hold = held, rule = rule, most = most, burst = burst,
    }
  end

  -- The rule that holds, if it is not one that took a limit away; and until when it is held.
  local of_names, has_rules = {}, nil
  local function rules_of(ids)
    local names, fields, found = {}, {}, {}
    if has_rules == nil then has_rules = call('EXISTS', RULES) == 1 end
    if not has_rules then return names, found end
    for i, id in ipairs(ids) do
      names[i] = string.match(id, '^%Z*')
      if not of_names[names[i]] then of_names[names[i]] = call('HMGET', RULES, 's' .. names[i], 'h' .. names[i]) end
      if names[i] ~= id then
        fields[#fields + 1] = 's' .. id
        fields[#fields + 1] = 'h' .. id
      end
    end
    local all, at = many(RULES, fields), 1
    for i, id in ipairs(ids) do
      if names[i] ~= id then
        found[i] = { all[at], all[at + 1] }
        at = at + 2
      end
    end
    return names, found
  end
  local function is_rule(rule) return rule and byte(rule, 9) == 49 and rule end

  local function fetch_limits(ids)
    local new, asked = {}, {}
    for _, id in ipairs(ids) do
      if not states[id] and not asked[id] then
        asked[id] = true
        new[#new + 1] = id
      end
    end
    if #new == 0 then return end
    local raw, names, found = many(LIMITS, new), rules_of(new)
    for i, id in ipairs(new) do
      local own, of_name = found[i] or {}, of_names[names[i]] or {}
      local held = math.max(tonumber(own[2] or 0), tonumber(of_name[2] or 0))
      new_limit(id, raw[i], is_rule(own[1]) or is_rule(of_name[1]) or false, held)
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
    if l.burst then most = math.min(most, l.tokens) end
    return most
  end

  -- Why it lets nothing pass, and when to look again.
  local function wants(l, block)
    if l.hold > NOW then return l.hold end
    local asks = false
    if l.most and l.units <= l.running and l.running < l.most then
      l.units_wanted = math.max(l.units_wanted or 0, math.min(block, l.most - l.running))
      asks = true
    end
    if l.burst and l.tokens < 1 then
      l.tokens_wanted = math.max(l.tokens_wanted or 0, math.min(block, l.burst))
      asks = true
    end
    if l.lease <= NOW then asks = true end
    l.wanted = l.wanted or asks
    return asks and math.max(NOW + ASK_AGAIN, l.again) or NOW + LOOK_AGAIN
  end

  -- Lanes as they are, and what is to be written at the end.
  local known, changed, opened, gates_to_write, waiting_change = {}, {}, {}, {}, 0

  local function read_lane(name, record)
    if not record then return false end
    local state, turn, jobs, back, at = read('>c1I8I4I4', record)
    return { name = name, state = state, turn = turn, jobs = jobs, back = back, opened_for = #record >= at and sub(record, at) or nil }
  end

  local function fetch_lanes(names)
    local new = {}
    for _, name in ipairs(names) do
      if known[name] == nil then new[#new + 1] = name end
    end
    for i, record in ipairs(many(LANES, new)) do
      if known[new[i]] == nil then known[new[i]] = read_lane(new[i], record) end
    end
  end

  local function lane(name)
    if known[name] == nil then known[name] = read_lane(name, call('HGET', LANES, name)) end
    return known[name]
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

  local function set(l, state)
    l.state, l.opened_for = state, nil
    changed[l.name] = l
  end

  local function open(l, opened_for)
    set(l, 'o')
    l.opened_for = opened_for
    opened[#opened + 1] = l.turn
    opened[#opened + 1] = l.name
  end

  local function forget(l)
    known[l.name] = false
    changed[l.name] = false
  end

  local function save_open()
    bulk('ZADD', OPEN, opened)
    opened = {}
  end

  local function save()
    local written, gone = {}, {}
    for name, l in pairs(changed) do
      if l then
        written[#written + 1] = name
        written[#written + 1] = l.state .. pack('>I8I4I4', l.turn, l.jobs, l.back) .. (l.opened_for or '')
      else
        gone[#gone + 1] = name
      end
    end
    bulk('HSET', LANES, written)
    bulk('HDEL', LANES, gone)
    bulk('HSET', GATES, gates_to_write)
    if waiting_change ~= 0 then call('HINCRBY', SETTINGS, WAITING, waiting_change) end
    changed, gates_to_write, waiting_change = {}, {}, 0
    save_open()
    save_limits()
  end

  local function blocked_by(id) return K .. ':blocked:' .. id end

  -- Whenever a limit has room and lanes wait for it, one of them is open: each visit to a lane opens the next.
  local function open_next(l)
    if l.blocks == 0 or room(l) < 1 then return end
    local name = call('ZPOPMIN', blocked_by(l.id))[1]
    if name then
      if lane(name) then open(lane(name), l.id) end
    else
      l.blocks = 0
      touch(l)
      call('ZREM', AT, 'b' .. l.id)
    end
  end

  local function block(l, by, size)
    set(l, 'b')
    by.blocks = 1
    touch(by)
    call('ZADD', blocked_by(by.id), l.turn, l.name)
    call('ZADD', AT, wants(by, size), 'b' .. by.id)
  end

  -- Lanes and limits whose time has come.
  local function open_due(most)
    for _, what in ipairs(call('ZRANGEBYSCORE', AT, '-inf', NOW, 'LIMIT', 0, most)) do
      local id = sub(what, 2)
      if byte(what) == 108 then
        call('ZREM', AT, what)
        if lane(id) then open(lane(id)) end
      else
        local name = call('ZPOPMIN', blocked_by(id))[1]
        if name then
          if lane(name) then open(lane(name), id) end
          call('ZADD', AT, NOW + LOOK_AGAIN, what)
        else
          call('ZREM', AT, what)
        end
      end
    end
  end

  -- Looks again at a lane that waits for the time of its first job: it may have another first one now.
  local function reopen_timed(l)
    if l.state ~= 't' then return end
    call('ZREM', AT, 'l' .. l.name)
    open(l)
  end

  -- `ids` of jobs into their lane, all of the same. `came_back`: their positions.
  local function join_line(name, ids, came_back)
    local l = lane(name)
    if came_back then bulk('ZADD', returned(K .. ':lane:' .. name), came_back) else bulk('RPUSH', K .. ':lane:' .. name, ids) end
    if l then
      reopen_timed(l)
    else
      l = { name = name, state = 'o', turn = next_turn(), jobs = 0, back = 0, opened_for = nil }
      known[name] = l
      open(l)
    end
    l.jobs = l.jobs + #ids
    if came_back then l.back = l.back + #ids end
    changed[name] = l
    waiting_change = waiting_change + #ids
  end

  local function write_gate(id, record)
    gates_to_write[#gates_to_write + 1] = id
    gates_to_write[#gates_to_write + 1] = record
  end

  -- Into its lane again, `due` at a later time only if the lane is ordered. `rest`: of its gate.
  local function rejoin(place, id, rest, due)
    write_gate(id, gate_record('w', due or 0, place, rest))
    join_line(lane_of(rest), { id }, { position(place), id })
  end

  -- An admitted job gives its places back.
  local function leave(record)
    local limits, name = gate(record)
    for _, id in ipairs(limits) do
      local l = limit(id)
      l.running = math.max(l.running - 1, 0)
      if l.cap >= 0 and l.units > math.max(l.cap, l.running) then
        l.units = math.max(l.cap, l.running)
        call('ZADD', LEASED, NOW, id)
      end
      touch(l)
      open_next(l)
    end
    local l = is_ordered(record) and lane(name)
    if l then
      if l.jobs > 0 then open(l) else forget(l) end
    end
  end

  -- A job that is not admitted leaves its lane.
  local function take_out_waiting(id, record)
    local _, name = gate(record)
    local l = lane(name)
    waiting_change = waiting_change - 1
    local came_back = take_out(K .. ':lane:' .. name, id)
    if not l then return end
    l.jobs = l.jobs - 1
    if came_back then l.back = l.back - 1 end
    changed[l.name] = l
    reopen_timed(l)
  end

  -- Questions to the limits' own slots, for the client to ask: limit, number, units held, units and tokens wanted, tokens given
  -- back, the rule.
  local function question(l, give)
    if l.asking > NOW then return nil end
    l.ask = l.ask + 1
    l.asking = NOW + ASKING
    touch(l)
    return { l.id, l.ask, l.units, l.units_wanted or 0, l.tokens_wanted or 0, give, l.rule }
  end

  local function questions()
    local all = {}
    for _, l in pairs(states) do
      if l.wanted and l.again <= NOW then all[#all + 1] = question(l, 0) end
    end
    return all
  end

  local function admitted(jobs) waiting_change = waiting_change - jobs end

  made = {
    AT = AT, LEASED = LEASED, LIMITS = LIMITS, OPEN = OPEN, RENEW = RENEW, RULES = RULES,
    gate = gate, fetch_limits = fetch_limits, limit = limit, touch = touch, room = room, blocked_by = blocked_by,
    fetch_lanes = fetch_lanes, lane = lane, next_turn = next_turn, set = set, open = open, forget = forget, save_open = save_open,
    save = save, open_next = open_next, block = block, open_due = open_due, join_line = join_line, write_gate = write_gate,
    rejoin = rejoin, leave = leave, take_out_waiting = take_out_waiting, question = question, questions = questions,
    admitted = admitted,
  }
  return made
end

local function save_lanes()
  if made then made.save() end
end
