-- Takes a webhook message that is due, for one delivery. Owners take turns, and so do the hosts of an owner. Owners
-- and hosts for which this process has enough deliveries under way are skipped. If the process dies, the message is
-- due again after the lease.
-- Arguments:
--   lease_ms: number
--   max_scheduled: number, of due retries and expired leases that one run puts into the queues
--   max_owners: number, of owners whose queues one run looks at
--   busy_owners: list
--   busy_hosts: list
-- Returns: {message id, job or batch id, event, when it ended in ms, attempts before, owner, host}, or the number of
--  retries that were found to be due
-- include lib/clock
-- include lib/webhooks/messages
-- include lib/webhooks/queue

local now, turn = now_ms(), int(now_us())

-- Moves retries that are due into their queues. Returns how many.
local function queue_due_retries()
  local due = redis.call('ZRANGEBYSCORE', key('webhooks'), '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, max_scheduled)
  for i = 1, #due, 2 do
    local message_id, due_ms = due[i], due[i + 1]
    redis.call('ZREM', key('webhooks'), message_id)
    local owner, host = receiver_of(message_id)
    if owner then enter_webhook_queue(message_id, owner, host, due_ms) end
  end
  return #due / 2
end

-- Takes the first message of a queue, and moves owner and host behind all others.
local function take_from(owner, host)
  local message_id = redis.call('ZRANGE', webhook_queue(owner, host), 0, 0)[1]
  redis.call('ZADD', key('webhooks', 'hosts', owner), turn, host)
  redis.call('ZADD', key('webhooks', 'turns'), turn, owner)
  -- The turns come first, because this removes them if the queue is now empty.
  leave_webhook_queue(message_id, owner, host)
  redis.call('ZADD', key('webhooks'), int(now + lease_ms), message_id)
  local id, event, at_ms, tries = unpack(
    redis.call('HMGET', key('webhook', message_id), 'job', 'type', 'at_ms', 'tries'))
  return {message_id, id, event, at_ms, tries, owner, host}
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

-- Returns the owner and host whose turn it is, or nothing if all are busy.
local function next_receiver()
  local is_busy_owner, is_busy_host = set_of(busy_owners), set_of(busy_hosts)
  for _, owner in ipairs(redis.call('ZRANGE', key('webhooks', 'turns'), 0, max_owners - 1)) do
    if not is_busy_owner[owner] then
      -- One host more than there are busy ones: if any host is free, one of these is.
      for _, host in ipairs(redis.call('ZRANGE', key('webhooks', 'hosts', owner), 0, #busy_hosts)) do
        if not is_busy_host[host] then return owner, host end
      end
    end
  end
end

local number_due = queue_due_retries()
local owner, host = next_receiver()
if owner then return take_from(owner, host) end
return number_due
