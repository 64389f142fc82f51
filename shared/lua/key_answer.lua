-- Keep the answer of a key's request, for whoever sends it again.
local name, answer, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('HSETNX', key('idempotency', name), 'answer', answer)
redis.call('HDEL', key('idempotency', name), 'token', 'open_until_ms')
redis.call('PEXPIRE', key('idempotency', name), int(keep_ms))
return 1
