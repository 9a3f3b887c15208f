-- Takes a job that nobody has claimed out of its place; false if a worker has it.
local function withdraw(body, id)
  local place = place_of(body)
  if call('ZREM', LATER, place .. id) == 1 then return true end
  if kind(place) ~= PLAIN and call('HEXISTS', HELD, id) == 1 then return false end
  if kind(place) == PLAIN then
    for _, worker in ipairs(holders()) do
      if call('HEXISTS', running(worker), id) == 1 then return false, worker end
    end
  end
  local record = kind(place) == LANED and call('HGET', GATES, id)
  if record and byte(record) == 119 then
    lanes().take_out_waiting(id, record)
  else
    take_out_ready(place, id)
    if record then lanes().leave(record) end
  end
  return true
end
