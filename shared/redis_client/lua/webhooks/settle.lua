-- Records a delivery of a webhook message, and when the next attempt is due.
-- Arguments:
--   message_id: text
--   record_id: text, the job or batch that the message is about
--   entry: text, for the log of deliveries, as JSON
--   pause_ms: number, until the next attempt; negative: this was the last
--   keep_ms: number, how long the log is kept
--   max_entries: number, in the log
-- Returns: 1
-- include lib/clock
-- include lib/webhooks/messages

local owner, host = receiver_of(message_id)
-- If this attempt outlived its lease, another may have settled the message already.
if owner then
  leave_webhook_queue(message_id, owner, host)
  if pause_ms >= 0 then
    redis.call('HINCRBY', key('webhook', message_id), 'tries', 1)
    redis.call('ZADD', key('webhooks'), int(now_ms() + pause_ms), message_id)
  else
    redis.call('ZREM', key('webhooks'), message_id)
    redis.call('DEL', key('webhook', message_id))
  end
end
-- Nothing is logged about a job or batch whose record was deleted meanwhile, for example a batch's job that became a
-- result.
if redis.call('EXISTS', key('job', record_id), key('batch', record_id)) == 1 then
  local log = key('deliveries', record_id)
  redis.call('RPUSH', log, entry)
  redis.call('LTRIM', log, -max_entries, -1)
  redis.call('PEXPIRE', log, int(keep_ms))
end
return 1
