-- ARGV worker, lease (0: unknown), number of claims with jobs that are just done; for each of them claim (8), how many, and the jobs; for
-- each of the other jobs claim, job, fate (c completed, x cancelled, r retry, l later, d dead), time in ms, text, reason, for how many ms it
-- is remembered if it ends as cancelled since somebody wants that. Returns the jobs refused.
local worker, lease, claims = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local mine = running(worker)
local deadline = lease > 0 and call('ZSCORE', WORKERS, worker)
if deadline and tonumber(deadline) > NOW then call('ZADD', WORKERS, NOW + lease, worker) end

local refused, settled, gone, watched, n = {}, {}, {}, {}, 0
local seen, held_by, jobs_by = {}, {}, {}
-- Whether the fence holds: the claim's number is in front of the job's kind and its gate.
local function check(id, held, claim, plain)
  if seen[id] or (held ~= plain and (not held or sub(held, 1, 8) ~= claim)) then
    refused[#refused + 1] = id
    return false
  end
  n = n + 1
  settled[n] = id
  seen[id] = true
  if held ~= plain then
    if is_watched(byte(held, 9)) then watched[#watched + 1] = id end
    jobs_by[held] = (jobs_by[held] or 0) + 1
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
for i = at, #ARGV, 7 do
  local id, claim, held = ARGV[i + 1], ARGV[i], call('HGET', mine, ARGV[i + 1])
  if check(id, held, claim, claim .. string.char(PLAIN)) then
    others[#others + 1] = i
    held_by[id] = held
  end
end
if n == 0 then return refused end

bulk('HDEL', mine, settled)
bulk('HDEL', BODIES, gone)
bulk('HDEL', HELD, watched)
local asked = {} -- those that somebody wants cancelled
if call('EXISTS', CANCELS, PROGRESS) > 0 then
  for i, is_asked in ipairs(many(CANCELS, settled)) do asked[settled[i]] = is_asked end
  bulk('HDEL', CANCELS, settled)
  bulk('HDEL', PROGRESS, settled)
end

-- Several jobs of a lane that were claimed together are held by the same words.
local leaving = {}
for held, jobs in pairs(jobs_by) do
  local its_gate = is_laned(byte(held, 9)) and sub(held, 10)
  if its_gate then leaving[its_gate] = (leaving[its_gate] or 0) + jobs end
end
if next(leaving) then lanes().leave_all(leaving) end

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
    if asked[id] and fate ~= 'c' and fate ~= 'x' then fate, time, text = 'x', tonumber(ARGV[i + 6]), '' end
    local body, held = call('HGET', BODIES, id), held_by[id]
    if not body then return end
    if fate == 'c' or fate == 'x' then
      if time > 0 then remember(id, body, fate, time, text) end
      call('HDEL', BODIES, id)
    elseif fate == 'd' then
      local reason = tonumber(ARGV[i + 5])
      local attempts = read(HEAD, body) + (reason == 4 and 0 or 1)
      bury(id, changed(body, { attempts = attempts, error = text }), reason)
    else
      local change = { due = NOW + time }
      if fate == 'r' then change.attempts, change.error = read(HEAD, body) + 1, text end
      call('HSET', BODIES, id, changed(body, change))
      local place = place_of(body)
      if is_laned(byte(held, 9)) and is_ordered(sub(held, 10)) then
        lanes().rejoin(place, id, sub(held, 10))
      else
        call('ZADD', LATER, NOW + time, place .. id)
      end
    end
  end
  for _, i in ipairs(others) do settle(i) end
end
if #others > 0 then settle_others() end
save_lanes()
return refused
