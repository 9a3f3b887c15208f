-- Answers to questions: ARGV for each limit, number, units, tokens, how long the lease may be used (ms), cap, when to ask again (ms).
-- Returns how many limits let more pass now.
local more, of, lim, ids = 0, lanes(), limits(), {}
for i = 1, #ARGV, 7 do ids[#ids + 1] = ARGV[i] end
lim.fetch(ids)
for i = 1, #ARGV, 7 do
  local l = lim.limit(ARGV[i])
  if l.ask == tonumber(ARGV[i + 1]) then
    local before = lim.room(l)
    l.units, l.tokens = tonumber(ARGV[i + 2]), l.tokens + tonumber(ARGV[i + 3])
    l.lease, l.cap = NOW + ARGV[i + 4], tonumber(ARGV[i + 5])
    l.asking, l.again = 0, NOW + ARGV[i + 6]
    call('ZADD', lim.LEASED, NOW + lim.RENEW, l.id)
    if lim.room(l) > math.max(before, 0) then
      more = more + 1
      of.open_next(l)
    elseif call('ZSCORE', of.AT, 'b' .. l.id) then
      call('ZADD', of.AT, math.max(l.again, NOW + 1), 'b' .. l.id)
    end
  end
  lim.touch(l)
end
of.save()
return more
