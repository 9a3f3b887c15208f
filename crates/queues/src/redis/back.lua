-- ARGV `retire` and a worker; or `give`, a worker and claims (8 each); or `sweep` and the crash budget. One step: at most 250 jobs.
-- Returns jobs that wait again, jobs dead, 1 if there is more to do, workers that have expired.
local STEP = 250

local function step(worker, budget)
  local key = running(worker)
  local held = call('HRANDFIELD', key, STEP, 'WITHVALUES')
  local ids = {}
  for i = 1, #held, 2 do ids[#ids + 1] = held[i] end
  if #ids > 0 then
    bulk('HDEL', key, ids)
    if call('EXISTS', PROGRESS) == 1 then bulk('HDEL', PROGRESS, ids) end
  end
  local back, dead = hand_back(held, budget)
  if #ids < STEP then call('HDEL', DYING, worker) end
  save_lanes()
  return back, dead
end

if ARGV[1] == 'retire' then
  call('ZREM', WORKERS, ARGV[2])
  if call('HEXISTS', DYING, ARGV[2]) == 0 and call('EXISTS', running(ARGV[2])) == 0 then return { 0, 0, 0, {} } end
  call('HSETNX', DYING, ARGV[2], 'r')
  local back = step(ARGV[2])
  return { back, 0, call('HEXISTS', DYING, ARGV[2]), {} }
end

if ARGV[1] == 'give' then
  local key, wanted, held, ids = running(ARGV[2]), {}, {}, {}
  for i = 3, #ARGV do wanted[ARGV[i]] = true end
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    if #ids < STEP and wanted[sub(all[i + 1], 1, 8)] then
      ids[#ids + 1] = all[i]
      held[#held + 1] = all[i]
      held[#held + 1] = all[i + 1]
    end
  end
  bulk('HDEL', key, ids)
  local back = hand_back(held)
  save_lanes()
  return { back, 0, #ids == STEP and 1 or 0, {} }
end

-- From here on the worker claims nothing more, whoever takes the next step. What it settles before its jobs are taken still counts.
local late = call('ZRANGEBYSCORE', WORKERS, '-inf', NOW, 'LIMIT', 0, STEP)
for _, worker in ipairs(late) do
  call('ZREM', WORKERS, worker)
  call('HSETNX', DYING, worker, 'c')
end
local worker = call('HRANDFIELD', DYING)
if not worker then return { 0, 0, 0, {} } end
local crashed = call('HGET', DYING, worker) == 'c'
local back, dead = step(worker, crashed and tonumber(ARGV[2]) or nil)
return { crashed and back or 0, dead, call('EXISTS', DYING), late }
