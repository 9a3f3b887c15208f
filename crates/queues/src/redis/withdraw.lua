-- Whether a worker has the job. Of a watched one that is written down.
local function is_held(its_kind, id)
  if is_watched(its_kind) then return call('HEXISTS', HELD, id) == 1 end
  for _, worker in ipairs(holders()) do
    if call('HEXISTS', running(worker), id) == 1 then return true end
  end
  return false
end

-- Takes a job that nobody has claimed out of its place; false if a worker has it.
local function withdraw(body, id)
  local place = place_of(body)
  if call('ZREM', LATER, place .. id) == 1 then return true end
  if is_held(kind(place), id) then return false end
  local its_gate = is_laned(kind(place)) and gate_of(body)
  if its_gate and call('HDEL', ADMITTED, id) == 0 then
    lanes().take_out_waiting(id, its_gate)
  else
    take_out_ready(place, id)
    if its_gate then lanes().leave(its_gate, 1) end
  end
  return true
end
