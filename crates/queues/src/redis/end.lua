-- How jobs leave `running`.
local DYING, CANCELS, PROGRESS = K .. ':dying', K .. ':cancels', K .. ':progress'

-- Into the dead letters: when, reason, size of the gate; gate; body.
local function bury(id, body, reason, record)
  local rest = record and gate_rest(record) or ''
  call('HSET', K .. ':dead', id, pack('>I8BI4', NOW, reason, #rest) .. rest .. body)
  call('ZADD', K .. ':died', NOW, id)
  call('HDEL', BODIES, id)
  call('HDEL', CANCELS, id)
end
