-- ARGV a job. Returns 0 no such job, 1 removed, 2 its worker will be told.
local id = ARGV[1]
local body = call('HGET', BODIES, id)
if not body then return 0 end
if not withdraw(body, id) then
  call('HSET', K .. ':cancels', id, '')
  return 2
end
call('HDEL', BODIES, id)
save_lanes()
return 1
