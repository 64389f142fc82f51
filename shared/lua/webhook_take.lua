-- Take the message that is due first; should its taker die, it is due again after the lease.
-- -> {message, job, type, at in ms, tries before}, or nothing
local now, lease_ms = now_ms(), tonumber(ARGV[1])
local message = redis.call('ZRANGEBYSCORE', key('webhooks'), '-inf', int(now), 'LIMIT', 0, 1)[1]
if not message then return false end
redis.call('ZADD', key('webhooks'), int(now + lease_ms), message)
local m = redis.call('HMGET', key('webhook', message), 'job', 'type', 'at_ms', 'tries')
return {message, m[1], m[2], m[3], m[4]}
