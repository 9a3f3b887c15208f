-- ARGV `latest` or `oldest`, from, how many; or `one` and a job. Returns time, and for each letter: job, when, reason, body without
-- payload, error.
local ids
if ARGV[1] == 'one' then
  ids = { ARGV[2] }
else
  local from, to = tonumber(ARGV[2]), ARGV[2] + ARGV[3] - 1
  ids = call(ARGV[1] == 'latest' and 'ZREVRANGE' or 'ZRANGE', K .. ':died', from, to)
end
local all = {}
for i, letter in ipairs(many(K .. ':dead', ids)) do
  if letter then
    local died, reason, size, at = read('>I8BI4', letter)
    local body = sub(letter, at + size)
    all[#all + 1] = { ids[i], died, reason, short(body), sub(body, text_end(body)) }
  end
end
return { NOW, all }
