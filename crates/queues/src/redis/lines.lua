-- A line: jobs in order. Those that came anew are a list; those that came back a sorted set beside it, by position, so that they
-- find their old place. What is taken out of the middle of the list stays there as a ghost.
local GHOSTS, GHOSTS_AT_ONCE = K .. ':ghosts', 250
local function returned(line) return line .. '*' end
local function in_use(line) return call('EXISTS', line, returned(line)) > 0 end

local haunted
local function is_haunted()
  if haunted == nil then haunted = call('EXISTS', GHOSTS) == 1 end
  return haunted
end
local function pop(line, most)
  local jobs = call('LPOP', line, most) or {}
  if #jobs == 0 or not is_haunted() then return jobs end
  local ghosts, alive, gone = many(GHOSTS, jobs), {}, {}
  for i, id in ipairs(jobs) do
    if ghosts[i] then gone[#gone + 1] = id else alive[#alive + 1] = id end
  end
  bulk('HDEL', GHOSTS, gone)
  return alive
end

-- The oldest of a line, at most `most`; and how many of them had come back. What is left of the new ones goes back. Fewer, or none, where
-- more ghosts than are looked at stand in front of new ones: these may be older than what came back.
local function take(line, most)
  local old = call('ZRANGE', returned(line), 0, most - 1, 'WITHSCORES')
  if #old == 0 then return pop(line, most), 0 end
  local new = pop(line, most)
  if #new < most and is_haunted() then
    for _, id in ipairs(pop(line, GHOSTS_AT_ONCE)) do new[#new + 1] = id end
  end
  local are_hidden = #new < most and call('EXISTS', line) == 1
  local first, positions, all, i, j = {}, {}, {}, 1, 1
  for k = 1, math.min(#new, most) do first[k] = new[k] end
  for k, body in ipairs(many(BODIES, first)) do positions[k] = body and read('>I8', body, PLACE) or 0 end
  while #all < most and (new[j] or (old[i] and not are_hidden)) do
    if not new[j] or (old[i] and tonumber(old[i + 1]) < positions[j]) then
      all[#all + 1] = old[i]
      i = i + 2
    else
      all[#all + 1] = new[j]
      j = j + 1
    end
  end
  local rest, gone = {}, {}
  for k = #new, j, -1 do rest[#rest + 1] = new[k] end
  for k = 1, i - 2, 2 do gone[#gone + 1] = old[k] end
  bulk('LPUSH', line, rest)
  bulk('ZREM', returned(line), gone)
  return all, #gone
end

-- Returns whether it had come back.
local function take_out(line, id)
  if call('ZREM', returned(line), id) == 1 then return true end
  call('HSET', GHOSTS, id, '')
  haunted = true
  return false
end

-- Ready jobs: a line for each band and tenant, and of each band the ring of tenants that have one.
local function ring(band) return K .. ':ring:' .. band end
local function ready_line(owner) return K .. ':ready:' .. sub(owner, 1, 1) .. sub(owner, 3) end

-- Into the lines of their owners; with positions, if they came back.
local function make_ready(jobs, owners, positions)
  local lines, order, last, some = {}, {}, nil, nil
  for i = 1, #jobs do
    if owners[i] ~= last then
      last = owners[i]
      local line = ready_line(last)
      some = lines[line]
      if not some then
        some = {}
        lines[line] = some
        order[#order + 1] = { line, last, some }
      end
    end
    if positions then some[#some + 1] = positions[i] end
    some[#some + 1] = jobs[i]
  end
  for _, one in ipairs(order) do
    local line, owner, jobs_of = one[1], one[2], one[3]
    local is_new = not in_use(line)
    if positions then bulk('ZADD', returned(line), jobs_of) else bulk('RPUSH', line, jobs_of) end
    if is_new then call('RPUSH', ring(byte(owner)), sub(owner, 3)) end
  end
end

local function make_ready_again(tickets)
  local jobs, owners, positions = {}, {}, {}
  for i, ticket in ipairs(tickets) do jobs[i], owners[i], positions[i] = job(ticket), owner_of(ticket), position(ticket) end
  make_ready(jobs, owners, positions)
end

local function take_out_ready(place, id)
  local owner = owner_of(place)
  local line = ready_line(owner)
  take_out(line, id)
  if not in_use(line) then call('LREM', ring(byte(owner)), 0, sub(owner, 3)) end
end
