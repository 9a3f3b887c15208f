-- Answers to questions: ARGV for each limit, number, units, tokens, how long the lease may be used (ms), cap, when to ask again (ms).
-- Returns how many limits let more pass now.
local more = 0
for i = 1, #ARGV, 7 do
  local l = limit(ARGV[i])
  if l.ask == tonumber(ARGV[i + 1]) then
    local before = room(l)
    l.units, l.tokens = tonumber(ARGV[i + 2]), l.tokens + tonumber(ARGV[i + 3])
    l.lease, l.cap = NOW + ARGV[i + 4], tonumber(ARGV[i + 5])
    l.asking, l.again = 0, NOW + ARGV[i + 6]
    call('ZADD', LEASED, NOW + RENEW, l.id)
    if room(l) > math.max(before, 0) then
      more = more + 1
      open_next(l)
    elseif call('ZSCORE', AT, 'b' .. l.id) then
      call('ZADD', AT, math.max(l.again, NOW + 1), 'b' .. l.id)
    end
  end
  touch(l)
end
save()
return more
