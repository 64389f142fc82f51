-- Releases a key without an answer.
-- Arguments:
--   name: text, of the key and its owner
--   token: text, of the request that holds the key
--   forget: flag, whether the request had no effect; otherwise the next request takes the key over
--   owner: text
-- Returns: 1, or 0 if another request holds the key
-- include lib/record_bytes

if redis.call('HGET', key('idempotency', name), 'token') ~= token then return 0 end
if forget then
  redis.call('DEL', key('idempotency', name))
  charge_idempotency(owner, -IDEMPOTENCY_BYTES)
else
  redis.call('HSET', key('idempotency', name), 'open_until_ms', 0)
end
return 1
