-- Move the deadline of a lease, if it still holds.
--
-- KEYS  1 value · 2 stale copy · 3 lease · 4 failure
-- ARGV  1 token · 2 ms to the new deadline · 3 ms that the name lives
-- Gives 1, or 0 if the lease was gone.
if string.match(redis.call('GET', KEYS[3]) or '', '^%S+') ~= ARGV[1] then
  return 0
end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. string.format('%.0f', now + ARGV[2]), 'PX', ARGV[3])
return 1
