-- Ends an attempt with an error: the job fails, or is queued again after a pause.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   error_json: text, the error as JSON
--   code: text, the error's code
--   retry_ms: number, the pause; negative: the job fails
--   retention_ms: number, how long an ended job is kept
-- Returns: 1, or 0 if the claim no longer holds
-- include lib/jobs/claims
-- include lib/jobs/end

if has_ended_as(job_id, fence, 'failed') then return 1 end
if not holds_claim(job_id, fence) then return 0 end
append_attempt_error(job_id, error_json)
if retry_ms >= 0 then
  leave_bulk_jobs(job_id)
  redis.call('ZADD', key('delayed'), int(now_ms() + retry_ms), job_id)
  redis.call('HINCRBY', key('failures'), 'retried:' .. code, 1)
  end_claim(job_id)
else
  redis.call('HINCRBY', key('failures'), code, 1)
  end_job(job_id, 'running', 'failed', retention_ms, 'error', error_json)
end
return 1
