-- Webhook messages: each tells a client's server about one end of a job or batch.
-- include lib/record_bytes
-- include lib/webhooks/queue

-- How many messages a job or batch has at most until it has ended. Room for them is charged when it is accepted,
-- and again when it is retried.
local MESSAGES_OF_A_RECORD = 1

local function names_webhook(request_json)
  local url = cjson.decode(request_json).webhook_url
  return url and url ~= cjson.null
end

-- Returns the bytes to charge for the messages of a job or batch with this request.
local function message_bytes(request_json)
  return names_webhook(request_json) and MESSAGES_OF_A_RECORD * MESSAGE_BYTES or 0
end

-- Returns the host and port of a URL. Deliveries are limited and ordered by it. Whether the address may be connected
-- to is decided by api/webhooks/delivery.py.
local function webhook_host(url)
  if type(url) ~= 'string' then return '' end
  return string.lower(string.match(url, '^%w+://([^/?#]+)') or '')
end

-- Creates the message about an end if the request of the job or batch names a webhook. `record` is the key of its hash.
-- The script that ends a job calls this, so no end is without its message.
local function create_webhook_message(record, id, event, now)
  local request, owner = unpack(redis.call('HMGET', record, 'request', 'owner'))
  if not names_webhook(request) then return end
  local message_id = 'msg_' .. id .. '_' .. redis.call('HINCRBY', record, 'webhooks', 1)
  local host = webhook_host(cjson.decode(request).webhook_url)
  redis.call('HSET', key('webhook', message_id), 'job', id, 'type', event, 'at_ms', int(now), 'tries', 0,
    'owner', owner, 'host', host)
  enter_webhook_queue(message_id, owner, host, now)
end

-- Returns the owner and host of a message, or nothing if there is no such message. Messages of older versions lack
-- both; then they are taken from the record of the job or batch.
local function receiver_of(message_id)
  local id, owner, host = unpack(redis.call('HMGET', key('webhook', message_id), 'job', 'owner', 'host'))
  if owner or not id then return owner, host end
  owner, host = '', ''
  for _, record in ipairs({key('job', id), key('batch', id)}) do
    local its_owner, request = unpack(redis.call('HMGET', record, 'owner', 'request'))
    if its_owner then owner, host = its_owner, webhook_host(cjson.decode(request).webhook_url) end
  end
  redis.call('HSET', key('webhook', message_id), 'owner', owner, 'host', host)
  return owner, host
end
