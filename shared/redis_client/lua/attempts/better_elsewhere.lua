-- Whether a claimed job that was fetched and waits for a slot would start sooner on another worker. It would if that
-- worker has a free slot and no published job is about to take it.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: 1 or 0
-- include lib/clock
-- include lib/free_slots
-- include lib/jobs/claims

if not holds_claim(job_id, fence) then return 0 end
local engine, priority, own_worker = job_fields(job_id, 'engine', 'class', 'worker')
local workers = live_workers(now_ms() - alive_ms)
if #workers < 2 or redis.call('ZCARD', key('published', engine)) > 0 then return 0 end
local jobs = jobs_by_worker()
-- The job itself takes no slot yet.
if jobs[own_worker] then jobs[own_worker][priority] = jobs[own_worker][priority] - 1 end
if has_free_slot(own_worker, engine, priority, jobs) then return 0 end
return another_has_free_slot(workers, own_worker, engine, priority, jobs) and 1 or 0
