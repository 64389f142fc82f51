-- Takes a batch off the list of batches that need work, if it has ended and all of its results are in the storage.
-- Arguments:
--   batch_id: text
-- Returns: 1 or 0
-- include lib/keys

local state, canceling = unpack(redis.call('HMGET', key('batch', batch_id), 'state', 'canceling'))
if state == 'reading' or state == 'running' or canceling then return 0 end
if redis.call('EXISTS', key('batch', batch_id, 'ended'), key('batch', batch_id, 'results')) > 0 then return 0 end
redis.call('ZREM', key('batches', 'live'), batch_id)
return 1
