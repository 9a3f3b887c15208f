-- ARGV schedule, slot, next; then jobs as in enqueue. Returns what enqueue does, or nil if the slot has been fired.
if call('HGET', K .. ':slots', ARGV[1]) ~= ARGV[2] then return false end
call('HSET', K .. ':slots', ARGV[1], ARGV[3])
if call('HEXISTS', K .. ':stopped', ARGV[1]) == 0 then call('ZADD', K .. ':slots_due', ARGV[3], ARGV[1]) end
return #ARGV > 3 and enqueue(4) or {}
