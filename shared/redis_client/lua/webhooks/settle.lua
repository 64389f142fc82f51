-- Note how a try went, and when the next is due (negative: never).
local message, job, entry = ARGV[1], ARGV[2], ARGV[3]
local pause_ms, keep_ms, max_entries = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local owner, host = webhook_receiver(message)
-- Nobody has settled it for good yet, as another may have if this try outlived its lease.
if owner then
  leave_webhook_line(message, owner, host)
  if pause_ms >= 0 then
    redis.call('HINCRBY', key('webhook', message), 'tries', 1)
    redis.call('ZADD', key('webhooks'), int(now_ms() + pause_ms), message)
  else
    redis.call('ZREM', key('webhooks'), message)
    redis.call('DEL', key('webhook', message))
  end
end
-- Of a job or a batch that was deleted meanwhile nothing is kept, nor of a batch's jobs once they are only results.
if redis.call('EXISTS', key('job', job), key('batch', job)) == 1 then
  redis.call('RPUSH', key('deliveries', job), entry)
  redis.call('LTRIM', key('deliveries', job), -max_entries, -1)
  redis.call('PEXPIRE', key('deliveries', job), int(keep_ms))
end
return 1
