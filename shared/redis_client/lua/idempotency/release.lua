-- Let go of a key without an answer: for good (nothing was made), or so that the next request can take it over.
local name, token, forget, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', key('idempotency', name), 'token') ~= token then return 0 end
if forget == '1' then
  redis.call('DEL', key('idempotency', name))
  charge_repetitions(owner, -REPETITION_BYTES)
else
  redis.call('HSET', key('idempotency', name), 'open_until_ms', 0)
end
return 1
