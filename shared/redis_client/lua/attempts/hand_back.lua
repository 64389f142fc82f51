-- Returns a claimed job to its place in the queue without charging an attempt. With a reason, the storage does not
-- serve this job alone: the job waits before its next attempt, longer each time, and shows the reason.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   reason: text, '' for none
--   pause_ms: number, the first pause for a reason
--   max_pause_ms: number
-- Returns: 1, or 0 if the claim no longer holds
-- include lib/clock
-- include lib/jobs/claims
-- include lib/jobs/equal_jobs

if job_fields(job_id, 'handed_back') == fence then return 1 end
if not holds_claim(job_id, fence) then return 0 end
redis.call('HINCRBY', key('job', job_id), 'attempt', -1)
redis.call('HSET', key('job', job_id), 'handed_back', fence)
end_claim(job_id, 'waiting', reason)
if reason == '' then
  enter_queue(job_id, job_fields(job_id, 'created_ms'))
else
  leave_bulk_jobs(job_id)
  release_equal_jobs(job_id)
  local waits = math.min(redis.call('HINCRBY', key('job', job_id), 'waits', 1), 30)
  local delay_ms = math.min(max_pause_ms, pause_ms * 2 ^ (waits - 1))
  redis.call('ZADD', key('delayed'), int(now_ms() + delay_ms), job_id)
end
return 1
