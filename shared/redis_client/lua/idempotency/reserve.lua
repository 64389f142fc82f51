-- Reserves an Idempotency-Key for a request, or renews its lease on the key.
-- Arguments:
--   name: text, of the key and its owner
--   token: text, of the request
--   new_id: text, for what the request makes, unless the key has an id already
--   lease_ms: number, how long the request holds the key
--   keep_ms: number, how long the record is kept
--   owner: text
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
-- Returns: {'held', id for what the request makes}, {'open'} while another request holds the key, {'records_full'}, or
--  {'answered', fingerprint, status and id of what it made or '', the whole answer as older versions stored it or ''}
-- include lib/record_bytes

local record = key('idempotency', name)
local made, answer, fingerprint, holder, open_until_ms, id = unpack(
  redis.call('HMGET', record, 'made', 'answer', 'fingerprint', 'token', 'open_until_ms', 'id'))
if made or answer then return {'answered', fingerprint, made or '', answer or ''} end
local now = now_ms()
if holder and holder ~= token and tonumber(open_until_ms) > now then return {'open'} end
if not id then
  if record_refusal(owner, max_owner_record_bytes, 0) then return {'records_full'} end
  charge_idempotency(owner, IDEMPOTENCY_BYTES)
end
redis.call('HSET', record, 'token', token, 'open_until_ms', int(now + lease_ms))
-- A request that takes the key over from one that died makes the same thing, with the same id.
redis.call('HSETNX', record, 'id', new_id)
redis.call('PEXPIRE', record, int(keep_ms))
return {'held', redis.call('HGET', record, 'id')}
