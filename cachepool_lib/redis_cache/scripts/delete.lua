-- Forget a key. Without its lease, a load that is under way anywhere may not store.
--
-- KEYS  1 value · 2 stale copy · 3 lease · 4 failure
-- ARGV  1 who writes, for those who hear of it; may be ''
-- Gives 1 if there was a value, else 0.
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
local was = redis.call('UNLINK', KEYS[1])
-- A user who may not publish has no first tier that should hear of it (TieredCache.connect looks).
redis.pcall('PUBLISH', string.match(KEYS[1], '^[^{]*') .. 'changed', ARGV[1] .. ' ' .. KEYS[1])
return was
