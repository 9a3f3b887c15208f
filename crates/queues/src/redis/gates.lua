-- A gate is what a job with a lane has to pass: `o` or `l` (ordered or not), the lane (size 2), and limits (size 2 each), which without an
-- ordering key stand in the lane's name.
local ADMITTED = K .. ':admitted'
local function gate_of(body) return (read('>I2c0', body, TEXT)) end
local function lane_of(gate) return (read('>I2c0', gate, 2)) end
local function is_ordered(gate_or_lane) return byte(gate_or_lane) == 111 end

local function limits_in(text, at)
  local ids, n = {}, 0
  while at <= #text do
    n = n + 1
    ids[n], at = read('>I2c0', text, at)
  end
  return ids
end
local function limits_of_lane(lane) return limits_in(lane, 18) end -- behind `l` and the tenant

-- Jobs of a lane have the same gate, or nearly: each is read once.
local gates = {}
local function gate(text)
  local known = gates[text]
  if not known then
    local lane, at = read('>I2c0', text, 2)
    known = { lane = lane, limits = is_ordered(text) and limits_in(text, at) or limits_of_lane(lane) }
    gates[text] = known
  end
  return known
end
