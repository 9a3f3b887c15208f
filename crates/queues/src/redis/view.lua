-- ARGV jobs. Returns for each that is there: job, state, body without payload, error, worker, progress, ended, result.
local FINISHED, DEAD = K .. ':finished', K .. ':dead'
local worker_of = {}
for _, worker in ipairs(holders()) do
  for i, held in ipairs(many(running(worker), ARGV)) do
    if held then worker_of[ARGV[i]] = worker end
  end
end

local function live(id, body)
  local state, place = 'ready', place_of(body)
  if worker_of[id] then
    state = 'running'
  elseif call('ZSCORE', LATER, place .. id) then
    state = 'scheduled'
  elseif is_laned(kind(place)) and call('HEXISTS', K .. ':admitted', id) == 0 then
    state = 'waiting'
  end
  local progress = state == 'running' and call('HGET', K .. ':progress', id) or ''
  return { id, state, short(body), sub(body, text_end(body)), worker_of[id] or '', progress, 0, '' }
end

local function dead(id, letter)
  local died, body = read('>I8', letter), sub(letter, LETTER)
  return { id, 'dead', short(body), sub(body, text_end(body)), '', '', died, '' }
end

local function finished(id, record)
  local ended, till, word, result, failure, at = read('>I8I8c1I4I4', record)
  if till <= NOW then return nil end
  local state = word == 'c' and 'completed' or 'cancelled'
  local body, error = sub(record, at + result + failure), sub(record, at + result, at + result + failure - 1)
  return { id, state, body, error, '', '', ended, sub(record, at, at + result - 1) }
end

local all = {}
for i, body in ipairs(many(BODIES, ARGV)) do
  local id, seen = ARGV[i], nil
  if body then
    seen = live(id, body)
  else
    local letter = call('HGET', DEAD, id)
    local record = not letter and call('HGET', FINISHED, id)
    seen = letter and dead(id, letter) or record and finished(id, record) or nil
  end
  if seen then all[#all + 1] = seen end
end
return all
