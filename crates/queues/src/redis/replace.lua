-- A new text for a job that waits, and for a debounced one a new time; false if a worker has it. What is due at once stays where it is.
-- It passes the gate that it had.
local function replace(id, text, delay)
  local body = call('HGET', BODIES, id)
  local place = place_of(body)
  local its_kind, its_gate = kind(place), gate_of(body)
  if delay and delay > 0 then
    if not withdraw(body, id) then return false end
    call('ZADD', LATER, NOW + delay, place .. id)
  elseif delay and call('ZREM', LATER, place .. id) == 1 then
    if is_laned(its_kind) then lanes().rejoin(place, id, its_gate) else make_ready_again({ place .. id }) end
  end
  if is_held(its_kind, id) then return false end
  local attempts, crashes, due, enqueued, size = read(HEAD, body)
  if delay then due = NOW + delay end
  local _, at = read('>I2c0', text)
  text = pack('>I2', #its_gate) .. its_gate .. sub(text, at)
  call('HSET', BODIES, id, pack(HEAD, attempts, crashes, due, enqueued, #text) .. place .. text .. sub(body, TEXT + size))
  save_lanes()
  return true
end
