-- Lanes, made for the first job that needs one. A lane: `o` open (among the open lanes; and for which limit it was opened), `b` blocked
-- by a limit, `t` waits for the time of its first job, `r` ordered and one of its jobs is admitted, `p` its tenant is paused; its turn (8):
-- when it was served last, or made; how many jobs wait in it, and how many of those came back (4 each).
local lanes_made
local function lanes()
  if lanes_made then return lanes_made end
  local LANES, OPEN, AT = K .. ':lanes', K .. ':open', K .. ':at'
  local lim = limits()
  local limit, touch, room = lim.limit, lim.touch, lim.room

  -- Lanes as they are, and what is to be written at the end.
  local known, changed, opened, aside, waiting_change = {}, {}, {}, {}, 0

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

  -- Open as long as there is anything in its line, be it ghosts.
  local function line_of(l) return K .. ':lane:' .. l.name end
  local function open_or_forget(l)
    if l.jobs > 0 or (is_haunted() and call('EXISTS', line_of(l)) == 1) then return open(l) end
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
    if waiting_change ~= 0 then call('HINCRBY', SETTINGS, WAITING, waiting_change) end
    changed, waiting_change = {}, 0
    save_open()
    lim.save()
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

  -- It waits for a limit. But where that can be asked for at once, and the client comes back with the answer, it stays open.
  local function block(l, by, size, may_ask)
    local at = lim.wants(by, size)
    if may_ask and lim.is_question(by) then
      aside[#aside + 1] = l
      return
    end
    set(l, 'b')
    by.blocks = 1
    touch(by)
    call('ZADD', blocked_by(by.id), l.turn, l.name)
    call('ZADD', AT, at, 'b' .. by.id)
  end
  local function open_aside()
    for i = 1, #aside do open(aside[i], aside[i].opened_for) end
    aside = {}
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
          call('ZADD', AT, NOW + lim.LOOK_AGAIN, what)
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
    if l then
      reopen_timed(l)
    else
      l = { name = name, state = 'o', turn = next_turn(), jobs = 0, back = 0, opened_for = nil }
      known[name] = l
      open(l)
    end
    if came_back then bulk('ZADD', returned(line_of(l)), came_back) else bulk('RPUSH', line_of(l), ids) end
    l.jobs = l.jobs + #ids
    if came_back then l.back = l.back + #ids end
    changed[name] = l
    waiting_change = waiting_change + #ids
  end

  -- Into its lane again.
  local function rejoin(place, id, gate) join_line(lane_of(gate), { id }, { position(place), id }) end

  -- So many admitted jobs with this gate give their places back.
  local function leave(text, jobs)
    local its = gate(text)
    for i = 1, #its.limits do
      local l = limit(its.limits[i])
      l.running = math.max(l.running - jobs, 0)
      if l.cap >= 0 and l.units > math.max(l.cap, l.running) then
        l.units = math.max(l.cap, l.running)
        call('ZADD', lim.LEASED, NOW, l.id)
      end
      touch(l)
      open_next(l)
    end
    local l = is_ordered(text) and lane(its.lane)
    if l then
      open_or_forget(l)
    end
  end

  -- The same for several gates: how many jobs by gate.
  local function leave_all(jobs)
    local ordered, needed = {}, {}
    for text in pairs(jobs) do
      if is_ordered(text) then ordered[#ordered + 1] = gate(text).lane end
      for _, id in ipairs(gate(text).limits) do needed[#needed + 1] = id end
    end
    fetch_lanes(ordered)
    lim.fetch(needed)
    for text, some in pairs(jobs) do leave(text, some) end
  end

  -- A job that is not admitted leaves its lane.
  local function take_out_waiting(id, gate)
    local name = lane_of(gate)
    local l = lane(name)
    waiting_change = waiting_change - 1
    local came_back = take_out(K .. ':lane:' .. name, id)
    if not l then return end
    l.jobs = l.jobs - 1
    if came_back then l.back = l.back - 1 end
    changed[l.name] = l
    reopen_timed(l)
  end

  local function admitted(jobs) waiting_change = waiting_change - jobs end

  lanes_made = {
    AT = AT, OPEN = OPEN,
    blocked_by = blocked_by, fetch_lanes = fetch_lanes, lane = lane, next_turn = next_turn, set = set, open = open, line_of = line_of, open_or_forget = open_or_forget,
    save_open = save_open, save = save, open_next = open_next, block = block, open_aside = open_aside, open_due = open_due, join_line = join_line,
    rejoin = rejoin, reopen_timed = reopen_timed, leave = leave, leave_all = leave_all, take_out_waiting = take_out_waiting, admitted = admitted,
  }
  return lanes_made
end

local function save_lanes()
  if lanes_made then lanes_made.save() end
end
