-- A gate is what a job with a lane has to pass: `w` or `a` (waits, admitted), when it is due (8), its place, `o` or `l` (ordered or not),
-- the lane, its limits.
local function gate_place(record) return sub(record, 10, 35) end
local function gate_rest(record) return sub(record, 36) end
local function gate_record(state, due, place, rest) return state .. pack('>I8', due) .. place .. rest end
local function gate_due(record) return (read('>I8', record, 2)) end
local function is_ordered(record) return byte(record, 36) == 111 end
local function lane_of(rest) return (read('>I2c0', rest, 2)) end
