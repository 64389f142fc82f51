-- Keep what a key's request has made, and the status that told of it, for whoever sends it again.
local name, made, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('HSETNX', key('idempotency', name), 'made', made)
redis.call('HDEL', key('idempotency', name), 'token', 'open_until_ms')
redis.call('PEXPIRE', key('idempotency', name), int(keep_ms))
return 1
