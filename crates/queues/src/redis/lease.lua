-- In the slots of limits. KEYS limits; ARGV the queue, and for each limit the number of the question, units held, units and tokens wanted,
-- tokens given back, rule. A queue's field: number, units, end of its lease, since when it waits, when it last said so.
-- Returns for each units, tokens, for how long, cap, when to ask again; or nothing, if a later question was answered.
local call, pack, read, sub = redis.call, struct.pack, struct.unpack, string.sub
local LEASE = 15000 -- ms, as a worker's
local WAITS = 1000 -- ms; who has not asked for so long waits no longer
local AGAIN = 100 -- ms
local FIELD = '>di4ddd'
local queue = 'q' .. ARGV[1]
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function lease(key, ask, held, units_wanted, tokens_wanted, given, told)
  local again = AGAIN
  -- The newest rule that any queue has told of.
  local rule = call('HGET', key, 'rule')
  if not rule or read('>I8', rule) < read('>I8', told) then
    rule = told
    call('HSET', key, 'rule', rule)
  end
  local most, count, period, burst = read('>i4i4di4', rule, 10)

  local others, earlier, active, since = 0, 0, 1, 0
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    if sub(all[i], 1, 1) == 'q' and all[i] == queue then
      local number, units, ends
      number, units, ends, since = read(FIELD, all[i + 1])
      if ask < number and ends > now then return false end -- a later question was answered
      if ends <= now then since = 0 end
    end
  end
  for i = 1, #all, 2 do
    if sub(all[i], 1, 1) == 'q' and all[i] ~= queue then
      local _, units, ends, their_since, said = read(FIELD, all[i + 1])
      if ends <= now then
        call('HDEL', key, all[i])
      else
        others = others + units
        local waits = their_since > 0 and said + WAITS > now
        if units > 0 or waits then active = active + 1 end
        if waits and (since == 0 or their_since < since) then earlier = earlier + 1 end
      end
    end
  end

  -- Units: what is left, but for those who wait longer.
  local units = held + units_wanted
  local waits = false
  if most >= 0 then
    local left = math.max(most - others, 0)
    units = math.min(held, left)
    local free = math.max(left - units - earlier, 0)
    units = units + math.min(units_wanted, free)
    waits = units_wanted > 0 and free < 1
  end

  -- Tokens.
  local tokens = 0
  if count > 0 then
    local state = call('HMGET', key, 'tokens', 'stamp')
    local stock = math.min(burst, tonumber(state[1] or burst) + (now - (state[2] or now)) * count / period + given)
    tokens = math.max(math.min(tokens_wanted, math.floor(stock) - earlier), 0)
    waits = waits or (tokens_wanted > 0 and tokens < 1)
    call('HSET', key, 'tokens', string.format('%.17g', stock - tokens), 'stamp', now)
    if tokens < 1 and tokens_wanted > 0 then again = math.max(1, math.ceil((1 - stock) * period / count)) end
  end
  if not waits then since = 0 elseif since == 0 then since = now end
  call('HSET', key, queue, pack(FIELD, ask, units, now + LEASE, since, waits and now or 0))
  call('PEXPIRE', key, math.max(4 * LEASE, count > 0 and math.ceil(burst * period / count) or 0))
  local cap = -1
  if most >= 0 and earlier > 0 then cap = math.floor(most / active) end
  return { units, tokens, math.floor(LEASE * 2 / 3), cap, waits and math.min(again, 1000) or 0 }
end

local answers = {}
for i, key in ipairs(KEYS) do
  local numbers = {}
  for n = 1, 5 do numbers[n] = tonumber(ARGV[6 * i - 5 + n]) end
  answers[i] = lease(key, numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], ARGV[6 * i + 1])
end
return answers
