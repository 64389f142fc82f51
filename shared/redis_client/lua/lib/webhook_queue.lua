-- Follows transitions.lua in the scripts that deliver webhooks: the lines of messages that are due.

local function webhook_line(owner, host) return key('webhooks', 'line', owner, host) end

-- Take a message out of its line. A host without messages has no turn, nor has an owner without hosts.
local function leave_webhook_line(message, owner, host)
  redis.call('ZREM', webhook_line(owner, host), message)
  if redis.call('EXISTS', webhook_line(owner, host)) == 0 then
    redis.call('ZREM', key('webhooks', 'hosts', owner), host)
  end
  if redis.call('EXISTS', key('webhooks', 'hosts', owner)) == 0 then
    redis.call('ZREM', key('webhooks', 'turns'), owner)
  end
end

-- Whose message it is, and which host it goes to. Messages of older versions do not say it: their record does.
local function webhook_receiver(message)
  local m = redis.call('HMGET', key('webhook', message), 'job', 'owner', 'host')
  if m[2] or not m[1] then return m[2], m[3] end
  local owner, host = '', ''
  for _, record in ipairs({key('job', m[1]), key('batch', m[1])}) do
    local r = redis.call('HMGET', record, 'owner', 'request')
    if r[1] then owner, host = r[1], webhook_host(cjson.decode(r[2]).webhook_url) end
  end
  redis.call('HSET', key('webhook', message), 'owner', owner, 'host', host)
  return owner, host
end
