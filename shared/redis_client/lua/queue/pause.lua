-- Stops an engine's queues. Published jobs return to the front of their queues.
-- Arguments:
--   engine: text
-- Returns: 1
-- include lib/jobs/queue

redis.call('SADD', key('paused'), engine)
for _, job_id in ipairs(redis.call('ZRANGE', key('published', engine), 0, -1)) do
  redis.call('ZREM', key('published', engine), job_id)
  enter_queue(job_id, job_fields(job_id, 'created_ms'))
end
return 1
