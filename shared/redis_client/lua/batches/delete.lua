-- Forget an ended batch; its objects are the collector's to remove, and jobs that it leaves those of forget_jobs.lua.
-- -> state before or ''
local id = ARGV[1]
local record = key('batch', id)
local batch = redis.call('HMGET', record, 'state', 'owner', 'stored_bytes', 'canceling', 'record_bytes')
local state, owner = batch[1], batch[2]
if batch[4] then return 'canceling' end
if not state or state == 'reading' or state == 'running' then return state or '' end
charge(owner, -(batch[3] or 0))
charge_records(owner, -(batch[5] or 0))
for _, ended in ipairs({'succeeded', 'failed', 'canceled'}) do
  redis.call('HINCRBY', key('count'), ended, int(-batch_number(id, 'n_' .. ended)))
end
-- Freed by another thread: of a large batch they would hold up everybody.
redis.call('UNLINK', record, key('batch', id, 'states'), key('batch', id, 'results'), key('batch', id, 'chunks'),
  key('batch', id, 'marks'), key('deliveries', id))
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live'), key('batches', 'settled')}) do
  redis.call('ZREM', index, id)
end
redis.call('ZADD', key('deleted'), int(now_ms()), id .. ' ')
return state
