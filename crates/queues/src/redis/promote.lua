-- What is due, at most 250; then leases of limits, at most 50. Returns 1 if more may be due, questions.
local MOST, LEASES = 250, 50
local due = call('ZRANGEBYSCORE', LATER, '-inf', NOW, 'LIMIT', 0, MOST)
bulk('ZREM', LATER, due)
local tickets = {}
for _, ticket in ipairs(due) do
  local record = kind(ticket) == LANED and call('HGET', GATES, job(ticket))
  if record then lanes().rejoin(sub(ticket, 1, 26), job(ticket), gate_rest(record)) else tickets[#tickets + 1] = ticket end
end
make_ready_again(tickets)
if #due > 0 then wake() end

local asked = {}
for _, id in ipairs(call('ZRANGEBYSCORE', K .. ':leased', '-inf', NOW, 'LIMIT', 0, LEASES)) do
  local l = lanes().limit(id)
  local idle = l.used + lanes().RENEW / 2 <= NOW and call('EXISTS', lanes().blocked_by(id)) == 0
  local give = 0
  if idle then
    l.units, give = l.running, l.tokens
    l.tokens = 0
  end
  if not l.rule or (l.units == 0 and give == 0 and idle and l.lease <= NOW) then
    call('ZREM', K .. ':leased', id)
  else
    asked[#asked + 1] = lanes().question(l, give)
    call('ZADD', K .. ':leased', NOW + lanes().RENEW, id)
  end
  lanes().touch(l)
end
save_lanes()
return { #due == MOST and 1 or 0, asked }
