-- Jobs that go back to where they wait, at once; but of those that somebody wants cancelled nothing is left, as of ones that wait. `held`:
-- job, value, job, value .. Returns how many went back, and how many died.
local function hand_back(held, budget)
  local tickets, ids, asked, dead, ended = {}, {}, {}, 0, 0
  for i = 1, #held, 2 do ids[#ids + 1] = held[i] end
  if call('EXISTS', CANCELS) == 1 then
    asked = many(CANCELS, ids)
    bulk('HDEL', CANCELS, ids)
  end
  for i, body in ipairs(many(BODIES, ids)) do
    local id, its_kind = ids[i], byte(held[2 * i], 9)
    local its_gate = is_laned(its_kind) and sub(held[2 * i], 10)
    if is_watched(its_kind) then call('HDEL', HELD, id) end
    if its_gate then lanes().leave(its_gate, 1) end
    local crashes = budget and body and select(2, read(HEAD, body)) + 1
    if body and asked[i] then
      call('HDEL', BODIES, id)
      ended = ended + 1
    elseif crashes and crashes >= budget then
      bury(id, changed(body, { crashes = crashes, error = crashes .. ' workers died while they held this job' }), 3)
      dead = dead + 1
    elseif body then
      if crashes then call('HSET', BODIES, id, changed(body, { crashes = crashes })) end
      local place = place_of(body)
      if its_gate then lanes().rejoin(place, id, its_gate) else tickets[#tickets + 1] = place .. id end
    end
  end
  make_ready_again(tickets)
  if #held > 0 then wake() end
  return #ids - dead - ended, dead
end
