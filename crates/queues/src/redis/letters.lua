-- ARGV `latest` or `oldest`, from, how many, and for `latest` a time: those that died later come before the first; or `one` and a job. Returns time, and for each letter: job, when, reason, body without
-- payload, error.
local ids
if ARGV[1] == 'one' then
  ids = { ARGV[2] }
else
  local from = tonumber(ARGV[2])
  if ARGV[4] then from = from + call('ZCOUNT', K .. ':died', '(' .. ARGV[4], '+inf') end
  local to = from + ARGV[3] - 1
  ids = call(ARGV[1] == 'latest' and 'ZREVRANGE' or 'ZRANGE', K .. ':died', from, to)
end
local all = {}
for i, letter in ipairs(many(K .. ':dead', ids)) do
  if letter then
    local died, reason = read('>I8B', letter)
    local body = sub(letter, LETTER)
    all[#all + 1] = { ids[i], died, reason, short(body), sub(body, text_end(body)) }
  end
end
return { NOW, all }
