-- How many webhook messages are not delivered yet, and since when the oldest of those that are due waits.
-- Arguments:
--   max_queues: number, of queues that one run looks at, so that it does not block Redis for long
-- Returns: {messages that are due, messages that wait for a retry or are being delivered, when the oldest became due in
--  ms, '' if none is due}
-- include lib/keys

local due, oldest_ms, seen = 0, nil, 0
for _, owner in ipairs(redis.call('ZRANGE', key('webhooks', 'turns'), 0, max_queues - 1)) do
  for _, host in ipairs(redis.call('ZRANGE', key('webhooks', 'hosts', owner), 0, max_queues - seen - 1)) do
    local queue = key('webhooks', 'line', owner, host)
    due, seen = due + redis.call('ZCARD', queue), seen + 1
    local first_ms = tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2])
    if first_ms and (not oldest_ms or first_ms < oldest_ms) then oldest_ms = first_ms end
  end
  if seen >= max_queues then break end
end
return {due, redis.call('ZCARD', key('webhooks')), oldest_ms and int(oldest_ms) or ''}
