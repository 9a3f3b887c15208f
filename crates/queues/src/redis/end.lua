-- How jobs leave `running`.
local DYING, CANCELS, PROGRESS = K .. ':dying', K .. ':cancels', K .. ':progress'

-- Into the dead letters: when, reason; body.
local function bury(id, body, reason)
  call('HSET', K .. ':dead', id, pack('>I8B', NOW, reason) .. body)
  call('ZADD', K .. ':died', NOW, id)
  call('HDEL', BODIES, id)
end
