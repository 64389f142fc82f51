-- A worker's claim on a running job. Only the claim whose fence is in the record may change the job.
-- include lib/jobs/states

local function holds_claim(job_id, fence)
  local state, current_fence = job_fields(job_id, 'state', 'fence')
  return state == 'running' and current_fence == fence
end

-- Returns whether this claim has already ended the job in this state: then the script is a repetition of a call whose
-- answer was lost.
local function has_ended_as(job_id, fence, state)
  local current_state, last_fence = job_fields(job_id, 'state', 'fence')
  return current_state == state and last_fence == fence
end

-- Takes a running job away from its worker and sets more fields. The caller decides where the job waits.
local function end_claim(job_id, ...)
  redis.call('ZREM', key('running'), job_id)
  move_job(job_id, 'running', 'queued', 'stage', '', 'fence', '0', ...)
end
