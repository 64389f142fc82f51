-- Take a message that is due: owners take turns, and so do the hosts of an owner; the first of that line.
-- Should its taker die, it is due again after the lease. What the process has enough of under way is passed over.
-- -> {message, job, type, at in ms, tries before, owner, host}, or how many of the scheduled were found to be due
local lease_ms, max_scheduled, max_owners = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local busy_owners, busy_hosts = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
local now, turn = now_ms(), int(now_us())

local due = redis.call('ZRANGEBYSCORE', key('webhooks'), '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, max_scheduled)
for i = 1, #due, 2 do
  redis.call('ZREM', key('webhooks'), due[i])
  local owner, host = webhook_receiver(due[i])
  if owner then enter_webhook_line(due[i], owner, host, due[i + 1]) end
end

local function take_from(owner, host)
  local message = redis.call('ZRANGE', webhook_line(owner, host), 0, 0)[1]
  -- Before the message leaves, so that who has no more of them has no turn either.
  redis.call('ZADD', key('webhooks', 'hosts', owner), turn, host)
  redis.call('ZADD', key('webhooks', 'turns'), turn, owner)
  leave_webhook_line(message, owner, host)
  redis.call('ZADD', key('webhooks'), int(now + lease_ms), message)
  local m = redis.call('HMGET', key('webhook', message), 'job', 'type', 'at_ms', 'tries')
  return {message, m[1], m[2], m[3], m[4], owner, host}
end

local function set_of(list)
  local set, size = {}, 0
  for _, name in ipairs(list) do set[name], size = true, size + 1 end
  return set, size
end
local is_busy_owner = set_of(busy_owners)
local is_busy_host, busy = set_of(busy_hosts)
for _, owner in ipairs(redis.call('ZRANGE', key('webhooks', 'turns'), 0, max_owners - 1)) do
  if not is_busy_owner[owner] then
    -- One host more than are busy: one of these is free if any is.
    for _, host in ipairs(redis.call('ZRANGE', key('webhooks', 'hosts', owner), 0, busy)) do
      if not is_busy_host[host] then return take_from(owner, host) end
    end
  end
end
return #due / 2
