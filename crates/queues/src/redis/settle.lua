-- ARGV worker, lease (0: unknown), number of jobs that are just done; for each of those claim (8) and job; for each of the others
-- claim, job, fate (c completed, x cancelled, r retry, l later, d dead), time in ms, text, reason. Returns the jobs refused.
local worker, lease, done = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local mine = running(worker)
local deadline = lease > 0 and call('ZSCORE', WORKERS, worker)
if deadline and tonumber(deadline) > NOW then call('ZADD', WORKERS, NOW + lease, worker) end

local jobs, at, n = {}, {}, 0
for i = 4, 3 + 2 * done, 2 do
  n = n + 1
  jobs[n], at[n] = ARGV[i + 1], i
end
for i = 4 + 2 * done, #ARGV, 6 do
  n = n + 1
  jobs[n], at[n] = ARGV[i + 1], i
end
local held, refused, gone, settled, laned, watched, accepted = many(mine, jobs), {}, {}, {}, {}, {}, {}
local seen, taken = {}, 0
for i = 1, n do
  local id, value = jobs[i], held[i]
  if value and not seen[id] and sub(value, 1, 8) == ARGV[at[i]] then
    seen[id] = true
    taken = taken + 1
    settled[taken] = id
    local its_kind = byte(value, 9)
    if its_kind ~= PLAIN then watched[#watched + 1] = id end
    if its_kind == LANED then laned[#laned + 1] = id end
    if i <= done then gone[#gone + 1] = id else accepted[i] = true end
  else
    refused[#refused + 1] = id
  end
end
if #settled == 0 then return refused end

bulk('HDEL', mine, settled)
bulk('HDEL', BODIES, gone)
bulk('HDEL', HELD, watched)
if call('EXISTS', CANCELS, PROGRESS) > 0 then
  bulk('HDEL', CANCELS, settled)
  bulk('HDEL', PROGRESS, settled)
end
local records, gates, lanes, limits = {}, {}, {}, {}
for i, record in ipairs(many(GATES, laned)) do
  if record then
    local g = gate(record)
    records[laned[i]] = record
    gates[#gates + 1] = g
    if g.ordered then lanes[#lanes + 1] = g.lane end
    for _, id in ipairs(g.limits) do limits[#limits + 1] = id end
  end
end
fetch_lanes(lanes)
fetch_limits(limits)
for _, g in ipairs(gates) do leave(g) end
bulk('HDEL', GATES, laned)

-- What is remembered: when it ended, until when, state, sizes of result and error; both; the body without context and payload.
local function remember(id, body, state, keep, result)
  local failure = sub(body, text_end(body))
  local head = pack('>I8I8', NOW, NOW + keep) .. state .. pack('>I4I4', #result, #failure)
  call('HSET', FINISHED, id, head .. result .. failure .. short(body))
  call('ZADD', FORGET, NOW + keep, id)
end

local function settle(i)
  local id, fate, time, text = jobs[i], ARGV[at[i] + 2], tonumber(ARGV[at[i] + 3]), ARGV[at[i] + 4]
  local body, record = call('HGET', BODIES, id), records[id]
  if not body then return end
  if fate == 'c' or fate == 'x' then
    if time > 0 then remember(id, body, fate, time, text) end
    call('HDEL', BODIES, id)
  elseif fate == 'd' then
    local reason = tonumber(ARGV[at[i] + 5])
    local attempts = read(HEAD, body) + (reason == 4 and 0 or 1)
    bury(id, changed(body, { attempts = attempts, error = text }), reason, record)
  else
    local change = { due = NOW + time }
    if fate == 'r' then change.attempts, change.error = read(HEAD, body) + 1, text end
    call('HSET', BODIES, id, changed(body, change))
    local place = place_of(body)
    if record and byte(record, 36) == 111 then
      join_lane(place, id, gate_rest(record), true, NOW + time)
    else
      call('ZADD', LATER, NOW + time, place .. id)
      if record then call('HSET', GATES, id, gate_record('w', 0, place, gate_rest(record))) end
    end
  end
end
for i = done + 1, #jobs do
  if accepted[i] then settle(i) end
end
save()
return refused
