-- Begins the cancel of a batch. From here on no item becomes a job. advance_change.lua cancels the items, in parts.
-- Arguments:
--   batch_id: text
-- Returns: {state before, '' if there is no such batch; the batch's record as a flat list}
-- include lib/keys

local record = key('batch', batch_id)
local state = redis.call('HGET', record, 'state')
if state == 'reading' or state == 'running' then
  redis.call('HSET', record, 'state', 'canceled', 'canceling', 1)
  redis.call('HDEL', record, 'retrying', 'rerunning', 'versions')
  redis.call('HINCRBY', record, 'version', 1)
end
return {state or '', redis.call('HGETALL', record)}
