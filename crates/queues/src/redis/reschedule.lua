-- ARGV a job, ms. Returns 1 if it was not due, and is so long from now.
local id, due = ARGV[1], NOW + tonumber(ARGV[2])
local body = call('HGET', BODIES, id)
if not body then return 0 end
local place = place_of(body)

-- Whether it waits in an ordered lane for another attempt.
local function waits_to_be_tried()
  local _, _, is_due = read(HEAD, body)
  return is_laned(kind(place)) and is_due > NOW and not is_held(kind(place), id) and call('HEXISTS', ADMITTED, id) == 0
end

if call('ZSCORE', LATER, place .. id) then
  call('ZADD', LATER, due, place .. id)
elseif not waits_to_be_tried() then
  return 0
end
call('HSET', BODIES, id, changed(body, { due = due }))
if is_laned(kind(place)) then
  local its = lanes().lane(lane_of(gate_of(body)))
  if its then lanes().reopen_timed(its) end
end
save_lanes()
wake()
return 1
