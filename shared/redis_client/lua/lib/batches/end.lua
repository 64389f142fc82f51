-- The end of a batch.
-- include lib/batches/items
-- include lib/webhooks/messages

local function end_batch(batch_id, state, retention_ms, now)
  local record = key('batch', batch_id)
  redis.call('HSET', record, 'state', state, 'ended_ms', int(now), 'expires_ms', int(now + retention_ms))
  redis.call('HINCRBY', record, 'version', 1)
  redis.call('ZADD', key('batches', 'settled'), int(now + retention_ms), batch_id)
  create_webhook_message(record, batch_id, 'batch.ended', now)
end

-- Ends a batch if its manifest has been read and all of its items have ended.
local function end_batch_if_done(batch_id, retention_ms, now)
  local state, retrying, rerunning, exports = unpack(
    redis.call('HMGET', key('batch', batch_id), 'state', 'retrying', 'rerunning', 'exports'))
  -- A retry or rerun that still goes through the items may find more to run.
  if state ~= 'running' or retrying or rerunning then return end
  for _, item_state in ipairs({'waiting', 'queued', 'running'}) do
    if batch_number(batch_id, 'n_' .. item_state) > 0 then return end
  end
  -- With an export, an item has ended only when its stems have been copied.
  if exports == '1' and redis.call('EXISTS', key('batch', batch_id, 'ended')) == 1 then return end
  end_batch(batch_id, 'ended', retention_ms, now)
end
