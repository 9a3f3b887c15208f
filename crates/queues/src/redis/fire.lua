-- ARGV schedule, slot, next; then jobs as in enqueue. Returns 1, or 0 if the slot has been fired.
if call('HGET', K .. ':slots', ARGV[1]) ~= ARGV[2] then return 0 end
call('HSET', K .. ':slots', ARGV[1], ARGV[3])
if call('HEXISTS', K .. ':stopped', ARGV[1]) == 0 then call('ZADD', K .. ':slots_due', ARGV[3], ARGV[1]) end
if #ARGV > 3 then enqueue(4) end
return 1
