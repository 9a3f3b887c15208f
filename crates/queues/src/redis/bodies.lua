-- Bodies, and what becomes of them.
local function text_end(body)
  local _, _, _, _, _, size = read(HEAD, body)
  return TEXT + size
end
local function changed(body, change)
  local attempts, crashes, due, first, enqueued, size = read(HEAD, body)
  local head = pack(HEAD, change.attempts or attempts, change.crashes or crashes, change.due or due, first, enqueued, size)
  return head .. sub(body, PLACE, TEXT + size - 1) .. (change.error or sub(body, TEXT + size))
end
-- Without payload and context.
local function short(body) return sub(body, 1, TEXT + 5 + read('>I2', body, TEXT + 4)) end
