-- Let a batch be, once it has ended and all that it leaves is in storage. -> 1 | 0
local id = ARGV[1]
local state = redis.call('HGET', key('batch', id), 'state')
if state == 'reading' or state == 'running' then return 0 end
if redis.call('EXISTS', key('batch', id, 'ended'), key('batch', id, 'results')) > 0 then return 0 end
redis.call('ZREM', key('batches', 'live'), id)
return 1
