-- Put values. Without their leases, loads that are under way anywhere may not store.
--
-- KEYS  as put.lua says
-- ARGV  for each value: 1 value · 2 its ttl in ms, '' for ever, '0' not at all · 3 who writes, for
--       those who hear of it; may be ''
-- Gives 1 if all is done, else a list: for each 1, or the error of its SET.
local replies, number = {}, #KEYS / 4
for i = 1, number do
  replies[i] = put(KEYS[i], unpack(ARGV, 3 * i - 2, 3 * i))
end
redis.call('UNLINK', unpack(KEYS, number + 1))
return finish(replies)
