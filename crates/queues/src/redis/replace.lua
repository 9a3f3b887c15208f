-- A new text for a job that waits, and for a debounced one a new time; false if a worker has it. What is due at once stays where it is.
local function replace(id, text, delay)
  local function put_off(body, due)
    local place = place_of(body)
    local ticket, record = place .. id, call('HGET', GATES, id)
    local rest = record and gate_rest(record)
    if due > NOW then
      if not withdraw(body, id) then return false end
      call('ZADD', LATER, due, ticket)
      if record then call('HSET', GATES, id, gate_record('w', 0, place, rest)) end
    elseif call('ZREM', LATER, ticket) == 1 then
      if record then lanes().rejoin(place, id, rest) else make_ready_again({ ticket }) end
    end
    return call('HEXISTS', HELD, id) == 0
  end

  local body = call('HGET', BODIES, id)
  if delay and not put_off(body, NOW + delay) then return false end
  if call('HEXISTS', HELD, id) == 1 then return false end
  local attempts, crashes, due, first, enqueued, size = read(HEAD, body)
  if delay then due, first = NOW + delay, NOW + delay end
  local head = pack(HEAD, attempts, crashes, due, first, enqueued, #text)
  call('HSET', BODIES, id, head .. place_of(body) .. text .. sub(body, TEXT + size))
  save_lanes()
  return true
end
