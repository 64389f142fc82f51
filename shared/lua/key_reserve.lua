-- Take an Idempotency-Key for a request, or renew the hold on it.
-- -> {'held', id for what the request makes} | {'open'} while another request holds it | {'answered', fingerprint, answer}
local name, token, id, lease_ms, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local reserved = key('idempotency', name)
local before = redis.call('HMGET', reserved, 'answer', 'fingerprint', 'token', 'open_until_ms')
if before[1] then return {'answered', before[2], before[1]} end
local now = now_ms()
if before[3] and before[3] ~= token and tonumber(before[4]) > now then return {'open'} end
redis.call('HSET', reserved, 'token', token, 'open_until_ms', int(now + lease_ms))
-- Whoever takes a key over from a request that died makes the same thing, and not a second one.
redis.call('HSETNX', reserved, 'id', id)
redis.call('PEXPIRE', reserved, int(keep_ms))
return {'held', redis.call('HGET', reserved, 'id')}
