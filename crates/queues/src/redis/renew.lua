-- ARGV worker, lease, 1 if it begins; then job, progress (part as 8 bytes, note) .. Returns 1 if it still has its jobs.
if ARGV[3] == '0' and not call('ZSCORE', WORKERS, ARGV[1]) then return 0 end
call('ZADD', WORKERS, NOW + ARGV[2], ARGV[1])
local jobs, set = {}, {}
for i = 4, #ARGV, 2 do jobs[#jobs + 1] = ARGV[i] end
for i, held in ipairs(many(running(ARGV[1]), jobs)) do
  if held then
    set[#set + 1] = jobs[i]
    set[#set + 1] = ARGV[3 + 2 * i]
  end
end
bulk('HSET', K .. ':progress', set)
return 1
