-- Jobs on their way in: collected, then written together.
local MARKS = K .. ':marks'
local bodies, fresh, owners, later, laned, pending = {}, {}, {}, {}, {}, {}

-- Jobs with a lane: those of the same one together.
local function flush_laned()
  local l, names, jobs = lanes(), {}, {}
  for i = 1, #laned, 2 do
    local name, id = laned[i], laned[i + 1]
    local its = jobs[name]
    if not its then
      names[#names + 1] = name
      its = {}
      jobs[name] = its
    end
    its[#its + 1] = id
  end
  l.fetch_lanes(names)
  for _, name in ipairs(names) do l.join_line(name, jobs[name]) end
end

local function flush()
  bulk('HSET', BODIES, bodies)
  bulk('ZADD', LATER, later)
  make_ready(fresh, owners)
  if #laned > 0 then flush_laned() end
  bodies, fresh, owners, later, laned, pending = {}, {}, {}, {}, {}, {}
  save_lanes()
end

local heads = {} -- of jobs that are due at once, by the size of their text
local function head_of(due, size)
  if due > NOW then return pack(HEAD, 0, 0, due, NOW, size) end
  local head = heads[size] or pack(HEAD, 0, 0, NOW, NOW, size)
  heads[size] = head
  return head
end

-- `tail`: band, kind, tenant, job.
local function put(at, tail, id, delay, text)
  local owner, due = sub(tail, 1, 18), NOW + delay
  local place = pack('>I8', at) .. owner
  bodies[#bodies + 1] = id
  bodies[#bodies + 1] = head_of(due, #text) .. place .. text
  pending[id] = true
  if delay > 0 then
    later[#later + 1] = due
    later[#later + 1] = place .. id
  elseif is_laned(byte(owner, 2)) then
    laned[#laned + 1] = gate(read('>I2c0', text)).lane
    laned[#laned + 1] = id
  else
    fresh[#fresh + 1] = id
    owners[#owners + 1] = owner
  end
end

-- Uniqueness: mode (e existing, t throttle, d debounce, k keep latest), period (8), key. Returns the answer, or nil to insert.
local function same(unique, id, text, delay)
  local mode, period, key = sub(unique, 1, 1), read('>I8', unique, 2), sub(unique, 10)
  local mark = call('HGET', MARKS, key)
  if mark then
    local holder, till = sub(mark, 1, 16), read('>I8', mark, 17)
    if pending[holder] then flush() end
    if mode == 't' then
      if NOW < till then return 'e' .. holder end
    elseif call('HEXISTS', BODIES, holder) == 1 then
      if mode == 'e' then return 'e' .. holder end
      if replace(holder, text, mode == 'd' and delay or nil) then return 'r' .. holder end
    end
  end
  call('HSET', MARKS, key, id .. pack('>I8', mode == 't' and NOW + period or 0))
end

-- Four arguments for each: tail, delay, text, uniqueness. Returns for each `i`, `e` or `r`, and the job. A job that is there
-- already is not written again.
local function enqueue(from)
  local jobs = (#ARGV - from + 1) / 4
  local base, answers, ids = call('INCRBY', K .. ':positions', jobs) - jobs, {}, {}
  local taken = {}
  for i = 1, jobs do ids[i] = sub(ARGV[from + (i - 1) * 4], 19) end
  local known = many(BODIES, ids)
  for i = 1, jobs do
    local at, id = from + (i - 1) * 4, ids[i]
    local tail, delay, text = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
    local answer = (known[i] or taken[id]) and 'e' .. id
    if not answer and ARGV[at + 3] ~= '' then answer = same(ARGV[at + 3], id, text, delay) end
    if not answer then
      taken[id] = true
      put(base + i, tail, id, delay, text)
      answer = 'i' .. id
    end
    answers[i] = answer
  end
  flush()
  wake()
  return answers
end
