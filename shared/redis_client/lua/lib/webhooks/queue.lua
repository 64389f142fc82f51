-- The queues of webhook messages that are due. Each owner has one queue for each host. Owners take turns, and so do the
-- hosts of an owner.
-- include lib/clock
-- include lib/keys

local function webhook_queue(owner, host) return key('webhooks', 'line', owner, host) end

local function enter_webhook_queue(message_id, owner, host, due_ms)
  local turn = int(now_us())
  redis.call('ZADD', webhook_queue(owner, host), int(due_ms), message_id)
  -- A new owner or host goes behind all that wait, as in enter_queue.
  redis.call('ZADD', key('webhooks', 'hosts', owner), 'NX', turn, host)
  redis.call('ZADD', key('webhooks', 'turns'), 'NX', turn, owner)
end

-- Removes a message. A host without messages has no turn, and neither has an owner without hosts.
local function leave_webhook_queue(message_id, owner, host)
  redis.call('ZREM', webhook_queue(owner, host), message_id)
  if redis.call('EXISTS', webhook_queue(owner, host)) == 0 then
    redis.call('ZREM', key('webhooks', 'hosts', owner), host)
  end
  if redis.call('EXISTS', key('webhooks', 'hosts', owner)) == 0 then
    redis.call('ZREM', key('webhooks', 'turns'), owner)
  end
end
