-- Give a lease up, if it still holds.
--
-- KEYS  1 value · 2 stale copy · 3 lease · 4 failure
-- ARGV  1 token · 2 ms for which all processes are told that this load failed, '0' if it did not
-- Gives 1, or 0 if the lease was gone.
if string.match(redis.call('GET', KEYS[3]) or '', '^%S+') ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', KEYS[3])
if ARGV[2] ~= '0' then
  redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
end
return 1
