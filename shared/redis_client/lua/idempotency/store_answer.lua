-- Stores what a key's request has made, and the status of its answer, for repetitions of the request.
-- Arguments:
--   name: text, of the key and its owner
--   made: text, the status of the response and the id of the new job, batch or upload
--   keep_ms: number, how long the record is kept
-- Returns: 1
-- include lib/keys

redis.call('HSETNX', key('idempotency', name), 'made', made)
redis.call('HDEL', key('idempotency', name), 'token', 'open_until_ms')
redis.call('PEXPIRE', key('idempotency', name), int(keep_ms))
return 1
