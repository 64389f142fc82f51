-- Cancels a queued or running job. The worker of a running one learns of it at its next heartbeat.
-- Arguments:
--   job_id: text
--   retention_ms: number, how long an ended job is kept
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: {state before, '' if there is no such job; the job's reply}
-- include lib/jobs/end
-- include lib/jobs/reply

local state = job_fields(job_id, 'state')
if state == 'queued' or state == 'running' then
  leave_queue(job_id)
  end_job(job_id, state, 'canceled', retention_ms, 'fence', '0')
end
return {state or '', job_reply(job_id, now_ms() - alive_ms)}
