-- Which workers have a free slot for a job.
-- include lib/workers
-- include lib/jobs/record

-- Returns how many jobs of each priority each worker separates. A job that is being uploaded has left its slot.
local function jobs_by_worker()
  local jobs = {}
  for _, job_id in ipairs(redis.call('ZRANGE', key('running'), 0, -1)) do
    local worker_id, priority, stage = job_fields(job_id, 'worker', 'class', 'stage')
    if worker_id and stage ~= 'upload' then
      jobs[worker_id] = jobs[worker_id] or {interactive = 0, bulk = 0}
      jobs[worker_id][priority] = jobs[worker_id][priority] + 1
    end
  end
  return jobs
end

local function has_free_slot(worker_id, engine, priority, jobs)
  local slots, slots_for_bulk = slots_of(worker_id, engine)
  local its_jobs = jobs[worker_id] or {interactive = 0, bulk = 0}
  -- More bulk jobs than that have only been fetched. They wait for a slot.
  local bulk = math.min(its_jobs.bulk, slots_for_bulk)
  if priority == 'bulk' and bulk >= slots_for_bulk then return false end
  return its_jobs.interactive + bulk < slots
end

local function another_has_free_slot(worker_ids, own_id, engine, priority, jobs)
  for _, worker_id in ipairs(worker_ids) do
    if worker_id ~= own_id and has_free_slot(worker_id, engine, priority, jobs) then return true end
  end
  return false
end
