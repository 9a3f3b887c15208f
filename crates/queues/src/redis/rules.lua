-- ARGV rule (version first) for `s`, or ms for `h`, of a limit: kind, limit, value .. A rule replaces none of a later version.
-- Lanes behind these limits look again: at most 10,000 limits, the others within five seconds.
local MOST = 10000
local changed_names = {}
for i = 1, #ARGV, 3 do
  local field = ARGV[i] .. ARGV[i + 1]
  local before = call('HGET', K .. ':rules', field)
  if ARGV[i] == 'h' then
    local wait = tonumber(ARGV[i + 2])
    if wait > 0 then call('HSET', K .. ':rules', field, NOW + wait) else call('HDEL', K .. ':rules', field) end
    changed_names[string.match(ARGV[i + 1], '^%Z*')] = true
  elseif not before or read('>I8', before) < read('>I8', ARGV[i + 2]) then
    call('HSET', K .. ':rules', field, ARGV[i + 2])
    changed_names[string.match(ARGV[i + 1], '^%Z*')] = true
  end
end
if next(changed_names) then
  for _, what in ipairs(call('ZRANGE', K .. ':at', 0, MOST - 1)) do
    if sub(what, 1, 1) == 'b' and changed_names[string.match(what, '^%Z*', 2)] then call('ZADD', K .. ':at', NOW, what) end
  end
  wake()
end
return 1
