-- Deletes the record of an ended batch. The garbage collector deletes its objects, forget_jobs.lua the jobs that it
-- leaves.
-- Arguments:
--   batch_id: text
-- Returns: state before, '' if there is no such batch, canceling, or read while jobs read outputs of its jobs
-- include lib/clock
-- include lib/record_bytes
-- include lib/stored_bytes
-- include lib/batches/items
-- include lib/jobs/read_outputs

local record = key('batch', batch_id)
local state, owner, output_bytes, canceling, record_bytes = unpack(
  redis.call('HMGET', record, 'state', 'owner', 'stored_bytes', 'canceling', 'record_bytes'))
if canceling then return 'canceling' end
if not state or state == 'reading' or state == 'running' then return state or '' end
if has_readers(key('batch', batch_id, 'readers')) then
  put_off_expiry(key('batches', 'settled'), batch_id)
  return 'read'
end
charge_stored_bytes(owner, -(output_bytes or 0))
charge_records(owner, -(record_bytes or 0))
for _, ended in ipairs({'succeeded', 'failed', 'canceled'}) do
  redis.call('HINCRBY', key('count'), ended, int(-batch_number(batch_id, 'n_' .. ended)))
end
-- UNLINK frees the memory in another thread. DEL of a large batch would block Redis.
redis.call('UNLINK', record, key('batch', batch_id, 'states'), key('batch', batch_id, 'results'),
  key('batch', batch_id, 'chunks'), key('batch', batch_id, 'marks'), key('deliveries', batch_id))
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live'), key('batches', 'settled')}) do
  redis.call('ZREM', index, batch_id)
end
redis.call('ZADD', key('deleted'), int(now_ms()), batch_id .. ' ')
return state
