-- ARGV worker, lease (0: unknown), number of claims with jobs that are just done; for each of them claim (8), how many, and the jobs; for
-- each of the other jobs claim, job, fate (c completed, x cancelled, r retry, l later, d dead), time in ms, text, reason. Returns the
-- jobs refused.
local worker, lease, claims = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local mine = running(worker)
local deadline = lease > 0 and call('ZSCORE', WORKERS, worker)
if deadline and tonumber(deadline) > NOW then call('ZADD', WORKERS, NOW + lease, worker) end

local refused, settled, gone, laned, watched, n = {}, {}, {}, {}, {}, 0
local seen = {}
-- Whether the fence holds: the claim's number is in front of the job's kind.
local function check(id, held, claim, plain)
  if seen[id] or (held ~= plain and (not held or sub(held, 1, 8) ~= claim)) then
    refused[#refused + 1] = id
    return false
  end
  n = n + 1
  settled[n] = id
  seen[id] = true
  if held ~= plain then
    watched[#watched + 1] = id
    if byte(held, 9) == LANED then laned[#laned + 1] = id end
  end
  return true
end

local at = 4
for _ = 1, claims do
  local claim, last = ARGV[at], at + 1 + ARGV[at + 1]
  local plain = claim .. string.char(PLAIN)
  for from = at + 2, last, SLICE do
    local held = call('HMGET', mine, unpack(ARGV, from, math.min(from + SLICE - 1, last)))
    for i = 1, #held do
      local id = ARGV[from + i - 1]
      if check(id, held[i], claim, plain) then gone[#gone + 1] = id end
    end
  end
  at = last + 1
end
local others = {}
for i = at, #ARGV, 6 do
  local id, claim = ARGV[i + 1], ARGV[i]
  if check(id, call('HGET', mine, id), claim, claim .. string.char(PLAIN)) then others[#others + 1] = i end
end
if n == 0 then return refused end

bulk('HDEL', mine, settled)
bulk('HDEL', BODIES, gone)
bulk('HDEL', HELD, watched)
if call('EXISTS', CANCELS, PROGRESS) > 0 then
  bulk('HDEL', CANCELS, settled)
  bulk('HDEL', PROGRESS, settled)
end

-- Out of the gates. Returns the records of these.
local function leave_gates()
  local l, found, records, ordered, needed = lanes(), many(GATES, laned), {}, {}, {}
  for i, record in ipairs(found) do
    if record then
      records[laned[i]] = record
      local limits, lane = l.gate(record)
      if is_ordered(record) then ordered[#ordered + 1] = lane end
      for k = 1, #limits do needed[#needed + 1] = limits[k] end
    end
  end
  l.fetch_lanes(ordered)
  l.fetch_limits(needed)
  for _, record in ipairs(found) do
    if record then l.leave(record) end
  end
  bulk('HDEL', GATES, laned)
  return records
end
local records = #laned > 0 and leave_gates() or {}

-- What becomes of those that are not just done.
local function settle_others()
  -- When it ended, until when, state, sizes of result and error; both; the body without context and payload.
  local function remember(id, body, state, keep, result)
    local failure = sub(body, text_end(body))
    local head = pack('>I8I8', NOW, NOW + keep) .. state .. pack('>I4I4', #result, #failure)
    call('HSET', K .. ':finished', id, head .. result .. failure .. short(body))
    call('ZADD', K .. ':forget', NOW + keep, id)
  end

  local function settle(i)
    local id, fate, time, text = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
    local body, record = call('HGET', BODIES, id), records[id]
    if not body then return end
    if fate == 'c' or fate == 'x' then
      if time > 0 then remember(id, body, fate, time, text) end
      call('HDEL', BODIES, id)
    elseif fate == 'd' then
      local reason = tonumber(ARGV[i + 5])
      local attempts = read(HEAD, body) + (reason == 4 and 0 or 1)
      bury(id, changed(body, { attempts = attempts, error = text }), reason, record)
    else
      local change = { due = NOW + time }
      if fate == 'r' then change.attempts, change.error = read(HEAD, body) + 1, text end
      call('HSET', BODIES, id, changed(body, change))
      local place = place_of(body)
      if record and is_ordered(record) then
        lanes().rejoin(place, id, gate_rest(record), NOW + time)
      else
        call('ZADD', LATER, NOW + time, place .. id)
        if record then call('HSET', GATES, id, gate_record('w', 0, place, gate_rest(record))) end
      end
    end
  end
  for _, i in ipairs(others) do settle(i) end
end
if #others > 0 then settle_others() end
save_lanes()
return refused
