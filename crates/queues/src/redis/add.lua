-- Jobs that are due at once, without lane and uniqueness. ARGV for those of an owner (band, kind, tenant): the owner, how many, the jobs,
-- their texts. Returns those that are there already: they are not written again.
local known, heads, seen = {}, {}, {}

local function add(owner, first, jobs)
  local at = call('INCRBY', K .. ':positions', jobs) - jobs
  local there = call('HMGET', BODIES, unpack(ARGV, first, first + jobs - 1))
  local ids, owners, bodies, n = {}, {}, {}, 0
  for i = 1, jobs do
    local id, text = ARGV[first + i - 1], ARGV[first + jobs + i - 1]
    if there[i] or seen[id] then
      known[#known + 1] = id
    else
      local head = heads[#text]
      if not head then
        head = pack(HEAD, 0, 0, NOW, NOW, #text)
        heads[#text] = head
      end
      n = n + 1
      seen[id], ids[n], owners[n] = true, id, owner
      bodies[2 * n - 1], bodies[2 * n] = id, head .. pack('>I8', at + i) .. owner .. text
    end
  end
  bulk('HSET', BODIES, bodies)
  make_ready(ids, owners)
end

local at = 1
while at <= #ARGV do
  local jobs = tonumber(ARGV[at + 1])
  add(ARGV[at], at + 2, jobs)
  at = at + 2 + 2 * jobs
end
wake()
return known
