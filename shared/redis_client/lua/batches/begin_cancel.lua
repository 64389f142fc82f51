-- Begin to cancel a batch: from here on no job is made of its items. advance_change.lua ends them, part by part.
-- -> {state before or '', the record as a flat list}
local id = ARGV[1]
local record = key('batch', id)
local before = redis.call('HGET', record, 'state')
if before == 'reading' or before == 'running' then
  redis.call('HSET', record, 'state', 'canceled', 'canceling', 1)
  redis.call('HDEL', record, 'retrying', 'rerunning', 'versions')
  redis.call('HINCRBY', record, 'version', 1)
end
return {before or '', redis.call('HGETALL', record)}
