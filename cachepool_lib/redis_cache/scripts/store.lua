-- Keep what was loaded, each value if its lease still holds; forget its lease, failure and old
-- stale copy.
--
-- KEYS  as put.lua says
-- ARGV  for each value: 1 value · 2 its ttl in ms, '' for ever, '0' not at all · 3 who writes, for
--       those who hear of it; may be '' · 4 token of the lease · 5 ms that the stale copy outlives
--       the value; with '0' it is its header alone · 6 that header, '' for no copy
-- Gives 1 if all are kept, else a list: for each 1, 0 if its lease was gone, or the error of its
-- SET.
local function store(value, stale, lease, failure, data, ttl, origin, token, longer, header)
  local held = redis.pcall('GET', lease)
  if type(held) ~= 'string' or string.match(held, '^%S+') ~= token then
    return 0
  end
  local kept = put(value, data, ttl, origin)
  redis.call('UNLINK', stale, lease, failure)
  if kept == 1 and header ~= '' then
    redis.call('SET', stale, header .. (longer == '0' and '' or data), 'PX', ttl + longer)
  end
  return kept
end

local replies, number = {}, #KEYS / 4
for i = 1, number do
  local stale, lease, failure = unpack(KEYS, number + 3 * i - 2, number + 3 * i)
  replies[i] = store(KEYS[i], stale, lease, failure, unpack(ARGV, 6 * i - 5, 6 * i))
end
return finish(replies)
