-- Jobs that are due at once, without lane and uniqueness. ARGV for each: band, kind, tenant, job; text. Returns those that are there
-- already: they are not written again.
local jobs = #ARGV / 2
local at, all, heads, seen = call('INCRBY', K .. ':positions', jobs) - jobs, {}, {}, {}
for i = 1, jobs do all[i] = sub(ARGV[2 * i - 1], 19) end
local there = many(BODIES, all)
local ids, owners, bodies, known, n = {}, {}, {}, {}, 0
for i = 1, jobs do
  local id, text = all[i], ARGV[2 * i]
  if there[i] or seen[id] then
    known[#known + 1] = id
  else
    local head, owner = heads[#text], sub(ARGV[2 * i - 1], 1, 18)
    if not head then
      head = pack(HEAD, 0, 0, NOW, NOW, NOW, #text)
      heads[#text] = head
    end
    n = n + 1
    seen[id], ids[n], owners[n] = true, id, owner
    bodies[2 * n - 1], bodies[2 * n] = id, head .. pack('>I8', at + i) .. owner .. text
  end
end
bulk('HSET', BODIES, bodies)
make_ready(ids, owners)
wake()
return known
