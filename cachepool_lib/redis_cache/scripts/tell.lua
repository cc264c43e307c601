-- Tell all first tiers that names have changed.
--
-- KEYS  1 what these names begin with
-- Gives how many heard it here, or as text what prevents it.
local channel = string.match(KEYS[1], '^[^{]*') .. 'changed'
local heard = redis.pcall('PUBLISH', channel, ' ' .. KEYS[1])
return type(heard) == 'table' and heard.err or heard
