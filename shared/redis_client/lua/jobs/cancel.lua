-- Cancels a job, unless it has ended, and those jobs after it in its chain that have not ended. The worker of a running
-- job learns of it at its next heartbeat.
-- Arguments:
--   job_id: text
--   retention_ms: number, how long an ended job is kept
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: {state before, '' if there is no such job; the job's reply; how many jobs were canceled directly, without
--  those that waited for them}
-- include lib/jobs/end
-- include lib/jobs/reply

-- Cancels a job; those that wait for it end with it. If it has ended, goes on with the jobs that it has released.
local function cancel(id)
  local state, request = job_fields(id, 'state', 'request')
  if not state then return 0 end
  if state == 'queued' or state == 'running' then
    leave_queue(id)
    end_job(id, state, 'canceled', retention_ms, 'fence', '0')
    return 1
  end
  local canceled = 0
  for _, follower in ipairs(cjson.decode(request)['then'] or {}) do
    canceled = canceled + cancel(follower.job_id)
  end
  return canceled
end

local state = job_fields(job_id, 'state')
local canceled = cancel(job_id)
return {state or '', job_reply(job_id, now_ms() - alive_ms), canceled}
