-- Returns a published job to its place in the queue, because the worker that received its message cannot claim it now.
-- Arguments:
--   job_id: text
-- Returns: 1, or 0 if the job is not published
-- include lib/jobs/queue

local state, engine, created_ms = job_fields(job_id, 'state', 'engine', 'created_ms')
if state ~= 'queued' or redis.call('ZREM', key('published', engine), job_id) == 0 then return 0 end
enter_queue(job_id, created_ms)
set_job_fields(job_id, 'stage', '')
return 1
