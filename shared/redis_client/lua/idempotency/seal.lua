-- Ties a key to what its request asks for.
-- Arguments:
--   name: text, of the key and its owner
--   fingerprint: text, of the request
-- Returns: 1, or 0 if the key is tied to a different request
-- include lib/keys

redis.call('HSETNX', key('idempotency', name), 'fingerprint', fingerprint)
return redis.call('HGET', key('idempotency', name), 'fingerprint') == fingerprint and 1 or 0
