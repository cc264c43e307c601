-- What set.lua and store.lua begin with: both keep values, each of which has four names.
--
-- KEYS  the names of all values, then for each: 1 stale copy · 2 lease · 3 failure
local refused  -- the error of a SET: none of them concerns one value alone
local told = {}

-- Keep a value for ttl ms, '' for ever, '0' not at all. Gives 1, or the error of the SET.
--
-- SET comes first, and not again once it is refused: a script that has written already is let
-- through by a server without memory.
local function put(value, data, ttl, origin)
  told[#told + 1] = origin .. ' ' .. value
  if ttl ~= '0' and not refused then
    local set = ttl == '' and redis.pcall('SET', value, data)
      or redis.pcall('SET', value, data, 'PX', ttl)
    if not set.err then
      return 1
    end
    refused = set
  end
  redis.call('UNLINK', value)  -- what was there is older, also than what could not be kept
  return ttl == '0' and 1 or refused
end

-- Tell all first tiers in one message (where a name ends, its brace says), and give the replies:
-- as one if all are 1, for a client takes long to read a list.
local function finish(replies)
  if told[1] then
    redis.pcall('PUBLISH', string.match(KEYS[1], '^[^{]*') .. 'changed', table.concat(told))
  end
  for _, reply in ipairs(replies) do
    if reply ~= 1 then
      return #replies == 1 and reply or replies
    end
  end
  return 1
end
