-- Bodies, and what becomes of them.
local function text_end(body)
  local _, _, _, _, size = read(HEAD, body)
  return TEXT + size
end
local function changed(body, change)
  local attempts, crashes, due, enqueued, size = read(HEAD, body)
  local head = pack(HEAD, change.attempts or attempts, change.crashes or crashes, change.due or due, enqueued, size)
  return head .. sub(body, PLACE, TEXT + size - 1) .. (change.error or sub(body, TEXT + size))
end
-- Without payload and context: up to the name, which stands behind the gate and the version.
local function short(body)
  local at = TEXT + 2 + read('>I2', body, TEXT) + 4
  return sub(body, 1, at + 1 + read('>I2', body, at))
end
-- Where the body begins in a dead letter, behind when it died (8) and why (1).
local LETTER = 10
