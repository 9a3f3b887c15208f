-- What all scripts of a queue have: its keys begin with KEYS[1], `{prefix:queue}`. Formats: keys.rs.
-- The server makes a script's functions anew in each call: so what few calls need is made where it is needed (lanes.lua).
local call, pack, read, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte
local K = KEYS[1]
local TIME = call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local SLICE = 500 -- values in one call: `unpack` ends near 8,000

local BODIES, HELD, LATER = K .. ':bodies', K .. ':held', K .. ':later'
local WORKERS, SETTINGS = K .. ':workers', K .. ':settings'
local PLAIN, WAITING = 0, 'waiting'

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
local function is_watched(kind) return kind % 2 == 1 end
local function is_laned(kind) return kind >= 2 end
local function owner_of(place) return sub(place, 9, 26) end
local function job(ticket) return sub(ticket, 27) end

-- A body: attempts, crashes, due, enqueued, size of the text; place; text, which begins with the gate (size 2); the last error.
local HEAD = '>I4I4I8I8I4'
local PLACE, TEXT = 29, 55 -- where they begin
local function place_of(body) return sub(body, PLACE, TEXT - 1) end

local function running(worker) return K .. ':running:' .. worker end

-- All workers that may hold jobs.
local function holders()
  local all = call('ZRANGE', WORKERS, 0, -1)
  for _, worker in ipairs(call('HKEYS', K .. ':dying')) do all[#all + 1] = worker end
  return all
end

-- One worker that waits is told, and tells the next one by its own claim.
local function wake()
  if call('EXISTS', K .. ':wake') == 0 then call('RPUSH', K .. ':wake', '1') end
end
