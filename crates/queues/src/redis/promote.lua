-- What is due, at most 250; then leases of limits, at most 50. Returns 1 if more may be due, questions.
local MOST, LEASES = 250, 50
local due = call('ZRANGEBYSCORE', LATER, '-inf', NOW, 'LIMIT', 0, MOST)
bulk('ZREM', LATER, due)
local tickets, laned, ids = {}, {}, {}
for _, ticket in ipairs(due) do
  local some = is_laned(kind(ticket)) and laned or tickets
  some[#some + 1] = ticket
end
make_ready_again(tickets)
for i = 1, #laned do ids[i] = job(laned[i]) end
for i, body in ipairs(many(BODIES, ids)) do
  if body then lanes().rejoin(sub(laned[i], 1, 26), ids[i], gate_of(body)) end
end
if #due > 0 then wake() end

local asked = {}
for _, id in ipairs(call('ZRANGEBYSCORE', K .. ':leased', '-inf', NOW, 'LIMIT', 0, LEASES)) do
  local l = limits().limit(id)
  local is_idle = l.asking <= NOW and l.used + limits().RENEW / 2 <= NOW and call('EXISTS', lanes().blocked_by(id)) == 0
  local give = 0
  -- Nothing of it is here, nor used: it is forgotten.
  l.is_over = is_idle and l.running <= 0 and l.units <= 0 and l.tokens <= 0
  if is_idle then
    l.units, give = l.running, l.tokens
    l.tokens = 0
  end
  if not l.rule or l.is_over then
    call('ZREM', K .. ':leased', id)
  else
    asked[#asked + 1] = limits().question(l, give)
    call('ZADD', K .. ':leased', NOW + limits().RENEW, id)
  end
  limits().touch(l)
end
if lanes_made then save_lanes() elseif limits_made then limits_made.save() end
return { #due == MOST and 1 or 0, asked }
