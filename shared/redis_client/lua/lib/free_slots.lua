-- Follows transitions.lua: which workers have a slot for a job.

-- What each worker holds, by class; what is being uploaded has left its slot.
local function jobs_held()
  local held = {}
  for _, id in ipairs(redis.call('ZRANGE', key('running'), 0, -1)) do
    local job = get(id, 'worker', 'class', 'stage')
    if job[1] and job[3] ~= 'upload' then
      held[job[1]] = held[job[1]] or {interactive = 0, bulk = 0}
      held[job[1]][job[2]] = held[job[1]][job[2]] + 1
    end
  end
  return held
end

local function has_room(worker, engine, class, held)
  local slots, for_bulk = slots_of(worker, engine)
  local jobs = held[worker] or {interactive = 0, bulk = 0}
  -- Bulk jobs beyond those have only been fetched, and wait.
  local bulk = math.min(jobs.bulk, for_bulk)
  if class == 'bulk' and bulk >= for_bulk then return false end
  return jobs.interactive + bulk < slots
end

local function another_has_room(workers, me, engine, class, held)
  for _, worker in ipairs(workers) do
    if worker ~= me and has_room(worker, engine, class, held) then return true end
  end
  return false
end
