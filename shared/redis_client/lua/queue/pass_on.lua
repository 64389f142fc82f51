-- Whether a worker that received a published job's message should leave it to another: it has no free slot and another
-- worker has one.
-- Arguments:
--   job_id: text
--   worker_id: text, the worker that asks
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: {engine, priority, job id} of the message that the caller must send again, or {} if it should claim the job
-- include lib/clock
-- include lib/free_slots

local state, engine, priority = job_fields(job_id, 'state', 'engine', 'class')
if state ~= 'queued' or not redis.call('ZSCORE', key('published', engine), job_id) then return {} end
local now = now_ms()
local workers = live_workers(now - alive_ms)
if #workers < 2 then return {} end
local jobs = jobs_by_worker()
if has_free_slot(worker_id, engine, priority, jobs) then return {} end
if not another_has_free_slot(workers, worker_id, engine, priority, jobs) then return {} end
-- A worker that counts as alive may have stopped to receive messages, so a job is not passed on for ever.
if redis.call('HINCRBY', key('job', job_id), 'passed_on', 1) > 2 * #workers then return {} end
redis.call('ZADD', key('published', engine), 'XX', int(now), job_id)
return {engine, priority, job_id}
