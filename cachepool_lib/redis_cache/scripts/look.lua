-- What a first tier has to know of a key, as of one moment, and of the primary.
--
-- KEYS  1 value · 2 stale copy
-- Gives {value, ms that are left of it (-1: it stays), what the stale copy begins with}.
local header = redis.pcall('GETRANGE', KEYS[2], 0, 60)
return {
  redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), type(header) == 'string' and header or ''
}
