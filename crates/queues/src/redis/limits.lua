-- Limits as they stand in this queue, made for the first job that has one. A queue leases units of concurrency and tokens from the
-- limit's own slot: questions to it are left for the client.
local limits_made
local function limits()
  if limits_made then return limits_made end
  local LIMITS, RULES = K .. ':limits', K .. ':rules'
  local ALL = 1e9
  local LOOK_AGAIN = 5000 -- ms; a blocked limit is looked at so often even if nobody says that it moved
  local ASK_AGAIN = 100 -- ms; so often a queue asks for what another queue has
  local ASKING = 2000 -- ms; if there is no answer by then, another worker asks
  local FEW = 64 -- so many rules are read at once

  -- Jobs, units leased, cap (-1: none), 1 if lanes may wait for it; number of the last question; until when the lease may be used, tokens
  -- leased, last use, until when somebody asks, when to ask again.
  local STATE = '>i4i4i4i4dddddd'
  local EMPTY = pack(STATE, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0)
  local states, touched = {}, {}

  -- Rules and holds, of limits and of names: all where they are few, else those that are asked for.
  local rules, holds, has_all = {}, {}, nil
  local function keep_rule(field, value)
    local all = byte(field) == 115 and rules or holds
    all[sub(field, 2)] = value
  end
  local function fetch_rules(ids)
    if has_all == nil then
      has_all = call('HLEN', RULES) <= FEW
      local all = has_all and call('HGETALL', RULES) or {}
      for i = 1, #all, 2 do keep_rule(all[i], all[i + 1]) end
    end
    if has_all then return end
    local fields = {}
    for _, id in ipairs(ids) do
      if rules[id] == nil then
        rules[id] = false
        fields[#fields + 1] = 's' .. id
        fields[#fields + 1] = 'h' .. id
      end
    end
    for i, value in ipairs(many(RULES, fields)) do keep_rule(fields[i], value) end
  end
  local function name_of(id) return string.match(id, '^%Z*') end
  -- The rule, if it is not one that took a limit away.
  local function is_set(rule) return rule and byte(rule, 9) == 49 and rule end

  local of_rules = { [false] = {} }
  local function parts(rule)
    local known = of_rules[rule]
    if not known then
      local most, count, _, burst = read('>i4i4di4', rule, 10)
      known = { most >= 0 and most or nil, count > 0 and burst or nil }
      of_rules[rule] = known
    end
    return known[1], known[2]
  end

  -- `most` at once, or nil; the bucket's size `burst`, or nil.
  local function new_limit(id, raw)
    local name = name_of(id)
    local rule = is_set(rules[id]) or is_set(rules[name]) or false
    local running, units, cap, blocks, ask, lease, tokens, used, asking, again = read(STATE, raw or EMPTY)
    local most, burst = parts(rule)
    states[id] = {
      id = id, running = running, units = units, cap = cap, ask = ask, blocks = blocks, lease = lease, tokens = tokens, used = used,
      asking = asking, again = again, hold = math.max(tonumber(holds[id] or 0), tonumber(holds[name] or 0)), rule = rule, most = most,
      burst = burst,
    }
  end

  local function fetch(ids)
    local new, of = {}, {}
    for i = 1, #ids do
      local id = ids[i]
      if states[id] == nil then
        states[id] = false
        new[#new + 1] = id
        of[#of + 1] = id
        local name = name_of(id)
        if name ~= id then of[#of + 1] = name end
      end
    end
    if #new == 0 then return end
    fetch_rules(of)
    for i, raw in ipairs(many(LIMITS, new)) do new_limit(new[i], raw) end
  end

  local function limit(id)
    if not states[id] then fetch({ id }) end
    return states[id]
  end

  local function touch(l) touched[l.id] = l end

  -- What is not used, and by whose state nothing is said, needs none.
  local function save()
    local set, gone = {}, {}
    for id, l in pairs(touched) do
      if l.running <= 0 and l.blocks == 0 and (l.is_over or not l.rule) then
        gone[#gone + 1] = id
      else
        set[#set + 1] = id
        set[#set + 1] = pack(STATE, l.running, l.units, l.cap, l.blocks, l.ask, l.lease, l.tokens, l.used, l.asking, l.again)
      end
    end
    bulk('HSET', LIMITS, set)
    bulk('HDEL', LIMITS, gone)
    touched = {}
  end

  -- How many jobs it lets pass now.
  local function room(l)
    if l.hold > NOW then return 0 end
    if not l.rule then return ALL end
    if l.lease <= NOW then return 0 end
    local most = ALL
    if l.most then most = math.min(l.units, l.most) - l.running end
    if l.burst then most = math.min(most, l.tokens) end
    return most
  end

  -- Why it lets nothing pass, and when to look again.
  local function wants(l, block)
    if l.hold > NOW then return l.hold end
    local asks = false
    if l.most and l.units <= l.running and l.running < l.most then
      l.units_wanted = math.max(l.units_wanted or 0, math.min(block, l.most - l.running))
      asks = true
    end
    if l.burst and l.tokens < 1 then
      l.tokens_wanted = math.max(l.tokens_wanted or 0, math.min(block, l.burst))
      asks = true
    end
    if l.lease <= NOW then asks = true end
    l.wanted = l.wanted or asks
    return asks and math.max(NOW + ASK_AGAIN, l.again) or NOW + LOOK_AGAIN
  end

  -- Questions to the limits' own slots, for the client to ask: limit, number, units held, units and tokens wanted, tokens given
  -- back, the rule. The number is a time or more, so it is higher than any before it, also where the state was forgotten.
  local function question(l, give)
    if l.asking > NOW then return nil end
    l.ask = math.max(l.ask + 1, NOW)
    l.asking = NOW + ASKING
    touch(l)
    return { l.id, l.ask, l.units, l.units_wanted or 0, l.tokens_wanted or 0, give, l.rule }
  end

  local function is_question(l) return l.wanted and l.again <= NOW and l.asking <= NOW end

  local function questions()
    local all = {}
    for _, l in pairs(states) do
      if is_question(l) then all[#all + 1] = question(l, 0) end
    end
    return all
  end

  limits_made = {
    LEASED = K .. ':leased', LIMITS = LIMITS, LOOK_AGAIN = LOOK_AGAIN, RENEW = 2000, -- ms
    fetch = fetch, limit = limit, touch = touch, save = save, room = room, wants = wants, is_question = is_question, question = question, questions = questions,
  }
  return limits_made
end
