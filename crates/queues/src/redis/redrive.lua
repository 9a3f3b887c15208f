-- ARGV `here` and dead jobs, which live again in this queue; `there` and job, letter .. of another queue; `read` and jobs, whose
-- letters are returned; `discard` and jobs. Returns the jobs, or the letters.
local DEAD, DIED = K .. ':dead', K .. ':died'
local what, all, fresh, owners = ARGV[1], {}, {}, {}

local function forget(id)
  call('HDEL', DEAD, id)
  call('ZREM', DIED, id)
end

local function revive(id, letter)
  if call('HEXISTS', BODIES, id) == 1 then return end -- this was done before, and its end was not
  local body = sub(letter, LETTER)
  local place = pack('>I8', call('INCR', K .. ':positions')) .. sub(body, PLACE + 8, TEXT - 1)
  local stop = text_end(body)
  local head = pack(HEAD, 0, 0, NOW, NOW, stop - TEXT)
  call('HSET', BODIES, id, head .. place .. sub(body, TEXT, stop - 1))
  if is_laned(kind(place)) then
    lanes().join_line(lane_of(gate_of(body)), { id })
  else
    fresh[#fresh + 1] = id
    owners[#owners + 1] = owner_of(place)
  end
end

if what == 'there' then
  for i = 2, #ARGV, 2 do
    revive(ARGV[i], ARGV[i + 1])
    all[#all + 1] = ARGV[i]
  end
else
  for i = 2, #ARGV do
    local letter = call('HGET', DEAD, ARGV[i])
    if letter then
      all[#all + 1] = what == 'read' and { ARGV[i], letter } or ARGV[i]
      if what == 'here' then revive(ARGV[i], letter) end
      if what ~= 'read' then forget(ARGV[i]) end
    end
  end
end
make_ready(fresh, owners)
save_lanes()
if #all > 0 then wake() end
return all
