-- How many jobs of an engine and priority are queued, and how old the oldest is.
-- Arguments:
--   engine: text
--   priority: text
-- Returns: {number of jobs, since when in ms one of them has been ready, number of published jobs of the engine}
-- include lib/clock
-- include lib/jobs/record

local MAX_READ = 20 -- jobs of each queue whose age is read

local number, oldest_ms = 0, now_ms()
for _, queue_owner in ipairs(redis.call('ZRANGE', key('turns', engine, priority), 0, -1)) do
  local queue = key('line', engine, priority, queue_owner)
  number = number + redis.call('ZCARD', queue)
  -- A job's place is that of its submission. If it waited for its source, one behind it may have been ready earlier.
  for _, job_id in ipairs(redis.call('ZRANGE', queue, 0, MAX_READ - 1)) do
    oldest_ms = math.min(oldest_ms, tonumber(job_fields(job_id, 'queued_ms') or oldest_ms))
  end
end
return {number, int(oldest_ms), redis.call('ZCARD', key('published', engine))}
