-- Keep values, each if its lease still holds; forget its lease, failure and old stale copy.
--
-- KEYS  for each value: 1 value · 2 stale copy · 3 lease · 4 failure
-- ARGV  for each value: 1 token of the lease, '' to store whoever loads · 2 value · 3 its ttl in
--       ms, '' for ever, '0' not at all · 4 ms that the stale copy outlives it, '0' for none
--       · 5 what the stale copy begins with · 6 who writes, for those who hear of it; may be ''
-- Gives 1 if the value is kept, 0 if the lease was gone, or the error of the SET: for several
-- values a list of these.
local refused  -- the error of a SET: none of them concerns one value alone

local function store(value, stale, lease, failure, token, data, ttl, longer, header, origin)
  if token ~= '' then
    local held = redis.pcall('GET', lease)
    if type(held) ~= 'string' or string.match(held, '^%S+') ~= token then
      return 0
    end
  end
  -- SET comes first, and not again once it is refused: a script that has written already is let
  -- through by a server without memory.
  if ttl == '0' then
    redis.call('UNLINK', value)
  elseif not refused then
    local set = ttl == '' and redis.pcall('SET', value, data)
      or redis.pcall('SET', value, data, 'PX', ttl)
    refused = set.err and set
  end
  redis.call('UNLINK', stale, lease, failure)
  redis.pcall('PUBLISH', string.match(value, '^[^{]*') .. 'changed', origin .. ' ' .. value)
  if refused and ttl ~= '0' then
    redis.call('UNLINK', value)  -- what was there is older than what could not be kept
    return refused
  end
  if longer ~= '0' then
    redis.call('SET', stale, header .. data, 'PX', ttl + longer)
  end
  return 1
end

local replies = {}
for i = 1, #KEYS / 4 do
  local value, stale, lease, failure = unpack(KEYS, 4 * i - 3, 4 * i)
  replies[i] = store(value, stale, lease, failure, unpack(ARGV, 6 * i - 5, 6 * i))
end
return #replies == 1 and replies[1] or replies
