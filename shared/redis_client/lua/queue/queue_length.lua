-- How many jobs of an engine and priority are queued, and how old the oldest is.
-- Arguments:
--   engine: text
--   priority: text
-- Returns: {number of jobs, when the oldest was queued in ms}
-- include lib/clock
-- include lib/keys

local number, oldest_ms = 0, now_ms()
for _, queue_owner in ipairs(redis.call('ZRANGE', key('turns', engine, priority), 0, -1)) do
  local queue = key('line', engine, priority, queue_owner)
  number = number + redis.call('ZCARD', queue)
  local queued_ms = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if queued_ms and tonumber(queued_ms) < oldest_ms then oldest_ms = tonumber(queued_ms) end
end
return {number, int(oldest_ms)}
