-- The state of a job, and the counts of jobs by state.
-- include lib/clock
-- include lib/jobs/record
-- include lib/batches/items

local function count_job(job_id, state, by)
  redis.call('HINCRBY', key('count'), state, by)
  local owner, batch_id = job_fields(job_id, 'owner', 'batch')
  if state == 'queued' then redis.call('HINCRBY', key('usage', owner), 'queued', by) end
  if batch_id then count_items(batch_id, state, by) end
end

-- Moves a job from one state (nil: it is new) to another, and sets more fields.
local function move_job(job_id, from, to, ...)
  if from then count_job(job_id, from, -1) end
  count_job(job_id, to, 1)
  if to == 'queued' then redis.call('HSET', key('job', job_id), 'queued_ms', int(now_ms())) end
  set_job_fields(job_id, 'state', to, ...)
end
