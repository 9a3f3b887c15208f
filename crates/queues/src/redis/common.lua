-- What all scripts of a queue have: its keys begin with KEYS[1], `{prefix:queue}`. Formats: keys.rs.
local call, pack, read, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte
local K = KEYS[1]
local TIME = call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local SLICE = 500 -- values in one call: `unpack` ends near 8,000

local BODIES, GATES, HELD, LATER = K .. ':bodies', K .. ':gates', K .. ':held', K .. ':later'
local WORKERS, DYING, GHOSTS, SETTINGS = K .. ':workers', K .. ':dying', K .. ':ghosts', K .. ':settings'
local PLAIN, LANED = 0, 2

local function bulk(command, key, all)
  for i = 1, #all, SLICE do call(command, key, unpack(all, i, math.min(i + SLICE - 1, #all))) end
end

local function many(key, fields)
  if #fields <= SLICE then return #fields > 0 and call('HMGET', key, unpack(fields)) or {} end
  local all = {}
  for i = 1, #fields, SLICE do
    local some = call('HMGET', key, unpack(fields, i, math.min(i + SLICE - 1, #fields)))
    for j = 1, #some do all[#all + 1] = some[j] end
  end
  return all
end

-- A place: position (8), and the owner: band (1), kind (1), tenant (16). A ticket: the place and the job (16). The fewer strings a
-- script makes, the faster it is: so lines hold jobs alone, and the place of one is read from its body where it is needed.
local function position(place) return (read('>I8', place)) end
local function kind(place) return byte(place, 10) end
local function owner_of(place) return sub(place, 9, 26) end
local function job(ticket) return sub(ticket, 27) end

-- A body: attempts, crashes, due, first due, enqueued, size of the text; place; text; the last error.
local HEAD = '>I4I4I8I8I8I4'
local PLACE, TEXT = 37, 63 -- where they begin
local function place_of(body) return sub(body, PLACE, TEXT - 1) end
local function text_end(body)
  local _, _, _, _, _, size = read(HEAD, body)
  return TEXT + size
end
local function changed(body, change)
  local attempts, crashes, due, first, enqueued, size = read(HEAD, body)
  local head = pack(HEAD, change.attempts or attempts, change.crashes or crashes, change.due or due, first, enqueued, size)
  return head .. sub(body, PLACE, TEXT + size - 1) .. (change.error or sub(body, TEXT + size))
end
-- Without payload and context.
local function short(body) return sub(body, 1, TEXT + 5 + read('>I2', body, TEXT + 4)) end

-- A line: jobs in order. Those that came anew are a list; those that came back a sorted set beside it, by position, so that they
-- find their old place. What is taken out of the middle of the list stays there as a ghost.
local function returned(line) return line .. '*' end
local function in_use(line) return call('EXISTS', line, returned(line)) > 0 end

local haunted
local function pop(line, most)
  local jobs = call('LPOP', line, most) or {}
  if #jobs == 0 then return jobs end
  if haunted == nil then haunted = call('EXISTS', GHOSTS) == 1 end
  if not haunted then return jobs end
  local ghosts, alive, gone = many(GHOSTS, jobs), {}, {}
  for i, id in ipairs(jobs) do
    if ghosts[i] then gone[#gone + 1] = id else alive[#alive + 1] = id end
  end
  bulk('HDEL', GHOSTS, gone)
  return alive
end

-- By position; `old` are jobs and positions in turn. What is left of the new ones goes back.
local function merge(line, old, new, most)
  local positions, all, i, j = {}, {}, 1, 1
  for k, body in ipairs(many(BODIES, new)) do positions[k] = body and read('>I8', body, PLACE) or 0 end
  while #all < most and (old[i] or new[j]) do
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
  return all
end

-- The oldest of a line, at most `most`.
local function take(line, most)
  local old = call('ZRANGE', returned(line), 0, most - 1, 'WITHSCORES')
  local new = pop(line, most)
  if #old == 0 then return new end
  return merge(line, old, new, most)
end

local function take_out(line, id)
  if call('ZREM', returned(line), id) == 0 then
    call('HSET', GHOSTS, id, '')
    haunted = true
  end
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

-- One worker that waits is told, and tells the next one by its own claim.
local function wake()
  if call('EXISTS', K .. ':wake') == 0 then call('RPUSH', K .. ':wake', '1') end
end

local function running(worker) return K .. ':running:' .. worker end

-- All workers that may hold jobs.
local function holders()
  local all = call('ZRANGE', WORKERS, 0, -1)
  for _, worker in ipairs(call('HKEYS', DYING)) do all[#all + 1] = worker end
  return all
end
