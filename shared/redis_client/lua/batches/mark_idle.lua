-- Let a batch be, once it has ended and all that it leaves is in storage. -> 1 | 0
local id = ARGV[1]
local batch = redis.call('HMGET', key('batch', id), 'state', 'canceling')
if batch[1] == 'reading' or batch[1] == 'running' or batch[2] then return 0 end
if redis.call('EXISTS', key('batch', id, 'ended'), key('batch', id, 'results')) > 0 then return 0 end
redis.call('ZREM', key('batches', 'live'), id)
return 1
