-- Who has the lease. A script, since a client may send a plain GET to a replica that lags behind.
--
-- KEYS  1 value · 2 stale copy · 3 lease · 4 failure
-- Gives the holder's token, '' if nobody has it.
return string.match(redis.call('GET', KEYS[3]) or '', '^%S*')
