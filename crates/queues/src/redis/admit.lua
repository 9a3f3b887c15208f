-- Lets jobs that wait in lanes pass. `may_ask`: the client comes back with answers to questions. Returns jobs, their gates, questions.
local function admit(most, quantum, most_looks, may_ask)
  local l, lim = lanes(), limits()
  local limit, room, open, set, touch, line_of = lim.limit, lim.room, l.open, l.set, lim.touch, l.line_of
  local passed, texts = {}, {}

  local anybody_paused = call('EXISTS', K .. ':parked') == 1
  local paused = {}
  local function is_paused(tenant)
    if not anybody_paused then return false end
    if paused[tenant] == nil then paused[tenant] = call('HEXISTS', K .. ':parked', tenant) == 1 end
    return paused[tenant]
  end

  local function take_from(lane, some)
    if lane.back == 0 then return pop(line_of(lane), some) end
    local jobs, back = take(line_of(lane), some)
    lane.back = lane.back - back
    return jobs
  end

  -- How many the limits have room for, `share` at most, and a quantum where others wait for one too; and the limit that has none.
  local function free(ids, share)
    local narrow
    for i = 1, #ids do
      local one = limit(ids[i])
      local its_room = room(one)
      if one.blocks == 1 then its_room = math.min(its_room, quantum) end
      if its_room < share then share, narrow = its_room, one end
    end
    return share, narrow
  end

  local function pass(lane, ids, jobs, text)
    local n = #jobs
    for i = 1, n do passed[#passed + 1], texts[#texts + 1] = jobs[i], text end
    lane.jobs = lane.jobs - n
    l.admitted(n)
    for i = 1, #ids do
      local one = limit(ids[i])
      one.running = one.running + n
      if one.burst then one.tokens = one.tokens - n end
      one.used = NOW
      touch(one)
    end
    return n
  end

  -- Jobs of a lane without order, which are alike. Returns how many were admitted.
  local function serve_alike(lane, ids, share)
    local some, narrow = free(ids, math.min(share, lane.jobs))
    if some < 1 then
      if lane.jobs < 1 then
        pop(line_of(lane), GHOSTS_AT_ONCE)
        l.open_or_forget(lane)
      elseif narrow then
        l.block(lane, narrow, most, may_ask)
      else
        open(lane)
      end
      return 0
    end
    local jobs = take_from(lane, some)
    pass(lane, ids, jobs, 'l' .. pack('>I2', #lane.name) .. lane.name)
    if #jobs > 0 then lane.turn = l.next_turn() end -- else it begins with ghosts
    l.open_or_forget(lane)
    return #jobs
  end

  -- The first job of an ordered lane.
  local function serve_first(lane, ids, share, first, body)
    local _, _, due = read(HEAD, body)
    local some, narrow = 0, nil
    if share > 0 and due <= NOW then some, narrow = free(ids, 1) end
    if some == 1 then
      pass(lane, ids, { first }, gate_of(body))
      lane.turn = l.next_turn()
      set(lane, 'r')
      return 1
    end
    call('LPUSH', line_of(lane), first)
    if narrow then
      l.block(lane, narrow, most, may_ask)
    elseif due > NOW then
      set(lane, 't')
      call('ZADD', l.AT, due, 'l' .. lane.name)
    else
      open(lane)
    end
    return 0
  end

  local function is_open(lane)
    if not lane or lane.state ~= 'o' then return false end
    local tenant = sub(lane.name, 2, 17)
    if not is_paused(tenant) then return true end
    set(lane, 'p')
    call('RPUSH', K .. ':parked:' .. tenant, lane.name)
    return false
  end

  -- The first job of an ordered lane.
  local function first_of(lane)
    local first = take_from(lane, 1)[1]
    if not first then l.open_or_forget(lane) end -- behind ghosts, or empty
    return first
  end

  -- Serves so many lanes at once, those that wait longest. Returns how many jobs were admitted, and how many lanes there were.
  local function round(left, at_once)
    l.save_open()
    local popped, names = call('ZPOPMIN', l.OPEN, at_once), {}
    for i = 1, #popped, 2 do names[#names + 1] = popped[i] end
    if #names == 0 then return 0, 0 end
    l.fetch_lanes(names)
    local served, opened_for, ids, firsts, first_at, needed = {}, {}, {}, {}, {}, {}
    for i, name in ipairs(names) do
      local lane = l.lane(name)
      opened_for[i] = lane and lane.opened_for
      if is_open(lane) then
        local first = is_ordered(name) and first_of(lane)
        if first then
          firsts[#firsts + 1] = first
          first_at[i] = #firsts
        elseif not is_ordered(name) then
          ids[i] = limits_of_lane(name)
        end
      end
    end
    local bodies = many(BODIES, firsts)
    for i, name in ipairs(names) do
      local body = first_at[i] and bodies[first_at[i]]
      if body then ids[i] = gate(gate_of(body)).limits end
      for _, id in ipairs(ids[i] or {}) do needed[#needed + 1] = id end
    end
    lim.fetch(needed)
    local share, admitted = math.max(quantum, math.floor(left / #names)), 0
    for i, name in ipairs(names) do
      local lane, at, its = l.lane(name), first_at[i], math.min(share, left - admitted)
      if at and not bodies[at] then -- lost with a crash of the server: nobody can run it
        lane.jobs = lane.jobs - 1
        open(lane)
      elseif ids[i] then
        admitted = admitted + (at and serve_first(lane, ids[i], its, firsts[at], bodies[at]) or serve_alike(lane, ids[i], its))
        for _, id in ipairs(ids[i]) do l.open_next(limit(id)) end
      end
      if opened_for[i] then l.open_next(limit(opened_for[i])) end
    end
    return admitted, #names
  end

  l.open_due(most)
  -- No more lanes at once than are needed, if they are as those before; but where none lets a job pass, more and more.
  local admitted, looks, at_once = 0, 0, math.ceil(most / quantum)
  while admitted < most and looks < most_looks do
    local some, looked = round(most - admitted, math.min(at_once, most - admitted))
    if looked == 0 then break end
    admitted, looks = admitted + some, looks + looked
    at_once = some > 0 and math.ceil((most - admitted) * looked / some) or 2 * at_once
  end
  local asked = lim.questions()
  l.open_aside()
  l.save()
  return passed, texts, asked
end
