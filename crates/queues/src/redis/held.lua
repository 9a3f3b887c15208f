-- ARGV a worker. Returns what it holds: job, claim (8) ..
local held = call('HGETALL', running(ARGV[1]))
for i = 2, #held, 2 do held[i] = sub(held[i], 1, 8) end
return held
