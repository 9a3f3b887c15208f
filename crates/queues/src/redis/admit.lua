-- Lets jobs that wait in lanes pass. Returns those that did, the records of their gates, and questions.
local function admit(most, quantum, most_looks)
  local l = lanes()
  local room, limit, open, set, touch = l.room, l.limit, l.open, l.set, l.touch
  local passed, records = {}, {}

  local anybody_paused = call('EXISTS', K .. ':parked') == 1
  local paused = {}
  local function is_paused(tenant)
    if not anybody_paused then return false end
    if paused[tenant] == nil then paused[tenant] = call('HEXISTS', K .. ':parked', tenant) == 1 end
    return paused[tenant]
  end

  local function line_of(lane) return K .. ':lane:' .. lane.name end

  local function take_from(lane, some)
    if lane.back == 0 then return pop(line_of(lane), some) end
    local jobs, back = take(line_of(lane), some)
    lane.back = lane.back - back
    return jobs
  end

  -- Jobs of a lane, as many as their limits have room for; returns how many, and the limit that has none.
  local function pass(lane, limits, record, first, share)
    local free, narrow = share, nil
    for i = 1, #limits do
      local more = room(limit(limits[i]))
      if more < free then free, narrow = more, limit(limits[i]) end
    end
    if free < 1 then return 0, narrow end
    local n = #passed
    passed[n + 1], records[n + 1] = first, record
    local jobs = 1
    if free > 1 and lane.jobs > 1 then
      local more = take_from(lane, free - 1)
      for i, its_record in ipairs(many(GATES, more)) do
        if its_record then
          n = n + 1
          passed[n + 1], records[n + 1] = more[i], its_record
        end
      end
      jobs = jobs + #more
    end
    lane.jobs = lane.jobs - jobs
    l.admitted(jobs)
    for i = 1, #limits do
      local one = limit(limits[i])
      one.running = one.running + jobs
      if one.burst then one.tokens = one.tokens - jobs end
      one.used = NOW
      touch(one)
    end
    return jobs
  end

  -- The first job of an open lane, and others of it. Returns how many were admitted.
  local function serve(lane, first, record, limits, share)
    local due, ordered = gate_due(record), is_ordered(record)
    if share < 1 or due > NOW then
      call('LPUSH', line_of(lane), first)
      if share < 1 then
        open(lane)
      else
        set(lane, 't')
        call('ZADD', l.AT, due, 'l' .. lane.name)
      end
      return 0
    end
    if ordered then share = 1 end
    for i = 1, #limits do
      if limit(limits[i]).blocks == 1 then share = math.min(share, quantum) end -- others wait for it too
    end
    local admitted, narrow = pass(lane, limits, record, first, share)
    if admitted == 0 then
      call('LPUSH', line_of(lane), first)
      l.block(lane, narrow, most)
    elseif ordered then
      lane.turn = l.next_turn()
      set(lane, 'r')
    elseif lane.jobs > 0 then
      lane.turn = l.next_turn()
      open(lane)
    else
      l.forget(lane)
    end
    for i = 1, #limits do l.open_next(limit(limits[i])) end
    return admitted
  end

  -- The first job of a lane, if it is still open.
  local function first_of(lane)
    if not lane or lane.state ~= 'o' then return nil end
    local tenant = sub(lane.name, 2, 17)
    if is_paused(tenant) then
      set(lane, 'p')
      call('RPUSH', K .. ':parked:' .. tenant, lane.name)
      return nil
    end
    local first = take_from(lane, 1)[1]
    if not first then
      if lane.jobs > 0 then open(lane) else l.forget(lane) end -- behind ghosts, or empty
    end
    return first
  end

  -- Serves so many lanes at once, those that wait longest. Returns how many jobs were admitted, and how many lanes there were.
  local function round(left, at_once)
    l.save_open()
    local popped, names = call('ZPOPMIN', l.OPEN, at_once), {}
    for i = 1, #popped, 2 do names[#names + 1] = popped[i] end
    if #names == 0 then return 0, 0 end
    l.fetch_lanes(names)
    local firsts, at, opened_for = {}, {}, {}
    for i, name in ipairs(names) do
      local lane = l.lane(name)
      opened_for[i] = lane and lane.opened_for
      local first = first_of(lane)
      if first then
        firsts[#firsts + 1] = first
        at[i] = #firsts
      end
    end
    local found, limits, needed = many(GATES, firsts), {}, {}
    for k, record in ipairs(found) do
      if record then
        limits[k] = l.gate(record)
        for n = 1, #limits[k] do needed[#needed + 1] = limits[k][n] end
      end
    end
    l.fetch_limits(needed)
    local share, admitted = math.max(quantum, math.floor(left / #names)), 0
    for i, name in ipairs(names) do
      local k, lane = at[i], l.lane(name)
      if k and found[k] then
        admitted = admitted + serve(lane, firsts[k], found[k], limits[k], math.min(share, left - admitted))
      elseif k then -- its gate was lost with a crash of the server: nobody can run it
        lane.jobs = lane.jobs - 1
        open(lane)
      end
      if opened_for[i] then l.open_next(limit(opened_for[i])) end
    end
    return admitted, #names
  end

  l.open_due(most)
  local admitted, looks, at_once = 0, 0, math.ceil(most / quantum)
  while admitted < most and looks < most_looks do
    local some, looked = round(most - admitted, math.min(at_once, most - admitted))
    if looked == 0 then break end
    admitted, looks, at_once = admitted + some, looks + looked, 2 * at_once
  end
  local asked = l.questions()
  l.save()
  return passed, records, asked
end
