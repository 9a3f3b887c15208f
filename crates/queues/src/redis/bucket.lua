-- KEYS a limit's own. Returns the tokens in its bucket, as text, or nothing where there is none.
local state = redis.call('HMGET', KEYS[1], 'rule', 'tokens', 'stamp')
if not (state[1] and state[2]) then return '' end
local _, count, period, burst = struct.unpack('>i4i4di4', state[1], 10)
if count == 0 then return '' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return string.format('%.17g', math.min(burst, state[2] + (now - state[3]) * count / period))
