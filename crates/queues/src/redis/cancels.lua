-- ARGV a worker. Returns those of its jobs that somebody wants cancelled; at most 1,000 requests are looked at.
local key, asked = K .. ':cancels', {}
if call('EXISTS', key) == 0 then return asked end
local ids = call('HRANDFIELD', key, 1000)
local held = many(running(ARGV[1]), ids)
for i, id in ipairs(ids) do
  if held[i] then asked[#asked + 1] = id elseif call('HEXISTS', BODIES, id) == 0 then call('HDEL', key, id) end
end
return asked
