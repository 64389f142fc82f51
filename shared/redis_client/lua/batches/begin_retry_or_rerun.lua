-- Begin to have items of a batch done again: those that failed or were canceled (advance_change.lua goes through them), or, where
-- versions of engines are named, those that others made (the feeder looks for them: advance_rerun.lua). A batch that had
-- ended goes on at once. -> {yes | none | canceling | '' where there is no such batch, the record as a flat list}
local id, versions = ARGV[1], ARGV[2]
local record = key('batch', id)
local flat = redis.call('HGETALL', record)
if #flat == 0 then return {'', {}} end
if redis.call('HEXISTS', record, 'canceling') == 1 then return {'canceling', flat} end

local number
if versions == '' then
  number = batch_number(id, 'n_failed') + batch_number(id, 'n_canceled')
else
  -- All that succeeded, but for what these versions made, and engines that nobody has now.
  number = batch_number(id, 'n_succeeded')
  local now = cjson.decode(versions)
  for i = 1, #flat, 2 do
    local engine, version = string.match(flat[i], '^made_(.-)@(.*)$')
    if engine and (not now[engine] or now[engine] == version) then number = number - flat[i + 1] end
  end
end
if number <= 0 then return {'none', flat} end

-- From here on results may replace others.
redis.call('HSET', record, 'rerun', 1)
-- It will have another end to tell.
if names_webhook(redis.call('HGET', record, 'request')) then charge_batch(id, WEBHOOK_BYTES) end
if versions == '' then
  redis.call('HSET', record, 'retrying', 1)
else
  redis.call('HSET', record, 'rerunning', 1, 'versions', versions)
end
local is_read = redis.call('HGET', record, 'read') == '1'
redis.call('HSET', record, 'state', is_read and 'running' or 'reading')
redis.call('HDEL', record, 'ended_ms', 'expires_ms')
redis.call('HINCRBY', record, 'version', 1)
redis.call('ZREM', key('batches', 'settled'), id)
redis.call('ZADD', key('batches', 'live'), int(now_ms()), id)
return {'yes', redis.call('HGETALL', record)}
