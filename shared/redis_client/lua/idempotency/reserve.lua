-- Take an Idempotency-Key for a request, or renew the hold on it.
-- -> {'held', id for what the request makes} | {'open'} while another request holds it | {'records_full'}
--  | {'answered', fingerprint, id and status of what it made, or '' and the whole answer as versions before kept it}
local name, token, id, lease_ms, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local owner, max_owner_bytes = ARGV[6], tonumber(ARGV[7])
local reserved = key('idempotency', name)
local before = redis.call('HMGET', reserved, 'made', 'answer', 'fingerprint', 'token', 'open_until_ms', 'id')
if before[1] or before[2] then return {'answered', before[3], before[1] or '', before[2] or ''} end
local now = now_ms()
if before[4] and before[4] ~= token and tonumber(before[5]) > now then return {'open'} end
if not before[6] then
  if record_refusal(owner, max_owner_bytes, 0) then return {'records_full'} end
  charge_repetitions(owner, REPETITION_BYTES)
end
redis.call('HSET', reserved, 'token', token, 'open_until_ms', int(now + lease_ms))
-- Whoever takes a key over from a request that died makes the same thing, and not a second one.
redis.call('HSETNX', reserved, 'id', id)
redis.call('PEXPIRE', reserved, int(keep_ms))
return {'held', redis.call('HGET', reserved, 'id')}
