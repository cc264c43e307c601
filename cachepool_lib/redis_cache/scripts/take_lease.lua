-- Take the right to load a key, unless a value is there or somebody else has it.
--
-- A lease is a token and a deadline in ms by this server's clock. Past the deadline anybody may
-- take it; until somebody does, it is still its holder's. Its name outlives the deadline by far:
-- a server that is full evicts first what would expire next.
--
-- KEYS  1 value · 2 stale copy · 3 lease · 4 failure
-- ARGV  1 token · 2 ms to the deadline · 3 ms that the name lives · 4 what the tokens of this very
--       cache begin with: one of them is what an outage left behind · 5 '-1' to seize it; else ms:
--       a value that ends so soon does not count, unless its load failed a moment ago
-- Gives {0, holder's token, token of the load that failed a moment ago} to wait for the holder,
-- {1, value} where there is one, {2} once the lease is taken.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if ARGV[5] ~= '-1' then
  local value = redis.call('GET', KEYS[1])
  local counts = ARGV[5] == '0' or redis.call('EXISTS', KEYS[4]) == 1
  if value and not counts then
    local left = redis.call('PTTL', KEYS[1])
    counts = left < 0 or left > tonumber(ARGV[5])
  end
  if value and counts then
    return {1, value}
  end
  local lease = redis.call('GET', KEYS[3])
  if lease then
    local holder, deadline = string.match(lease, '^(%S+) ?(%d*)$')
    local alive = false
    if deadline == '' then
      alive = redis.call('PTTL', KEYS[3]) > 0  -- by an older version: it ends with its name
    elseif deadline then
      alive = tonumber(deadline) > now
    end
    if alive and string.sub(holder, 1, #ARGV[4]) ~= ARGV[4] then
      return {0, holder, redis.call('GET', KEYS[4])}
    end
  end
end
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. string.format('%.0f', now + ARGV[2]), 'PX', ARGV[3])
return {2}
