-- Claims a published job for a worker. A second call with the same token returns the same claim, because the first
-- answer may have been lost.
-- Arguments:
--   job_id: text
--   worker_id: text
--   lease_ms: number, how long the claim holds without a heartbeat
--   token: text, chosen for this claim
-- Returns: the fence, or nil if the job cannot be claimed
-- include lib/clock
-- include lib/jobs/queue
-- include lib/jobs/states

local state, engine, progress, last_token, last_fence, awaits = job_fields(
  job_id, 'state', 'engine', 'progress', 'token', 'fence', 'awaits')
if state == 'running' and token ~= '' and last_token == token then return last_fence end
if state ~= 'queued' then return false end
-- A message may arrive twice, or after the engine was paused. Only jobs in the published set may be claimed.
if not redis.call('ZSCORE', key('published', engine), job_id) then return false end
if awaits then
  -- A rescuer of an older version queued a job that waits for its source. It waits again.
  leave_queue(job_id)
  leave_bulk_jobs(job_id)
  redis.call('ZADD', key('delayed'), int(now_ms()), job_id)
  return false
end

local now = now_ms()
local fence = int(redis.call('INCR', key('fence')))
leave_queue(job_id)
redis.call('ZADD', key('running'), int(now + lease_ms), job_id)
redis.call('HINCRBY', key('job', job_id), 'attempt', 1)
redis.call('HDEL', key('job', job_id), 'working_ms', 'due_ms', 'passed_on', 'waiting')
redis.call('HSET', key('job', job_id), 'token', token)
move_job(job_id, state, 'running', 'fence', fence, 'floor', progress or '0', 'worker', worker_id,
  'started_ms', int(now), 'stage', 'fetch')
return fence
