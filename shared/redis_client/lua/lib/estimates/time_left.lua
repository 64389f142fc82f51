-- How long a job waits and runs, by simulating which job gets which slot when.
-- include lib/clock
-- include lib/workers
-- include lib/estimates/work_statistics
-- include lib/estimates/queue_position

local MAX_SAMPLED = 32 -- queued jobs that are read; the jobs behind them are assumed to be like them
local MAX_SLOTS = 64 -- slots that are simulated; each stands for several if there are more
local MAX_RUNNING = 64 -- running jobs that are read

-- Returns how many slots serve jobs of a priority. Bulk jobs may take one slot if there is only that one.
local function slots_for(engine, priority, since_ms)
  local slots, slots_for_bulk = live_slots(engine, since_ms)
  if priority == 'bulk' then return math.max(slots_for_bulk, math.min(slots, 1)) end
  return slots
end

-- Returns the running jobs of an engine, apart from one: those that are being separated, and those that are claimed and
-- get a slot before a job with this fence (nil: it is still queued). Workers claim more jobs than they have slots, so
-- that they fetch them early.
local function running_jobs(own_id, engine, priority, fence)
  local separating, claimed = {}, {}
  for _, job_id in ipairs(redis.call('ZRANGE', key('running'), 0, MAX_RUNNING - 1)) do
    local work = job_id ~= own_id and work_of(job_id) or {}
    if work.engine == engine and work.working_ms then
      separating[#separating + 1] = work
    elseif work.engine == engine and is_served_before(work.class, work.fence, priority, fence) then
      claimed[#claimed + 1] = work
    end
  end
  return separating, claimed
end

-- Returns the pace that the running jobs show, {work_ms, audio_ms}, or nil if none has come far enough.
local function shown_pace(engine, separating, now)
  local pace
  for _, work in ipairs(separating) do
    local done = share_of_time(engine, work.kind, tonumber(work.progress or 0))
    if done >= TELLING_PROGRESS then
      pace = {work_ms = (now - work.working_ms) / done, audio_ms = tonumber(work.audio_ms)}
    end
  end
  return pace
end

-- Returns the milliseconds of work in a job of the engine, or nil. Until a first job has ended, the pace of a running
-- one is used.
local function estimated_ms(engine, work, pace)
  local learnt = expected_ms(engine, work.kind, work.audio_ms)
  if learnt or not pace then return learnt end
  local times_longer = pace.audio_ms and work.audio_ms and work.audio_ms / math.max(1, pace.audio_ms) or 1
  return pace.work_ms * (1 - SHARE_THAT_GROWS + SHARE_THAT_GROWS * times_longer)
end

-- Gives work to the slot that is free first. `free_at` has the time at which each slot is free. Returns when the work
-- ends.
local function use_slot(free_at, work_ms)
  local first = 1
  for i = 2, #free_at do
    if free_at[i] < free_at[first] then first = i end
  end
  free_at[first] = free_at[first] + work_ms
  return free_at[first]
end

-- Returns the work of the jobs in these queues, {queue, number of jobs} each, that stand ahead: the first MAX_SAMPLED
-- as a list, and the sum of the rest, estimated by those that were read last.
local function queued_work(queues, own_ms, estimate)
  local sampled, rest_ms, typical_ms = {}, 0, own_ms
  local unread = MAX_SAMPLED
  for _, entry in ipairs(queues) do
    local queue, number = entry[1], entry[2]
    local to_read, read_ms = math.min(number, unread), 0
    for _, job_id in ipairs(to_read > 0 and redis.call('ZRANGE', queue, 0, to_read - 1) or {}) do
      local work_ms = estimate(work_of(job_id))
      sampled[#sampled + 1] = work_ms
      read_ms = read_ms + work_ms
    end
    if to_read > 0 then typical_ms = read_ms / to_read end
    unread, rest_ms = unread - to_read, rest_ms + (number - to_read) * typical_ms
  end
  return sampled, rest_ms
end

-- Returns the milliseconds until a job has ended, or nil if they cannot be estimated. `fence` is that of a claimed job
-- (nil: it is queued). The published jobs (ids) and queues come from queue_position.
local function wait_and_run_ms(job_id, own, fence, since_ms, published, queues)
  local engine, now = own.engine, now_ms()
  local slots = slots_for(engine, own.class, since_ms)
  if slots == 0 then return nil end
  local separating, claimed = running_jobs(job_id, engine, own.class, fence)
  local pace = shown_pace(engine, separating, now)
  local function estimate(work) return estimated_ms(engine, work, pace) end
  local own_ms = estimate(own)
  if not own_ms then return nil end

  local free_at, slots_each = {}, math.max(1, slots / MAX_SLOTS)
  for i = 1, math.min(slots, MAX_SLOTS) do free_at[i] = 0 end
  for _, work in ipairs(separating) do use_slot(free_at, math.max(0, (tonumber(work.due_ms) or now) - now)) end
  for _, work in ipairs(claimed) do use_slot(free_at, estimate(work) / slots_each) end
  for _, other_id in ipairs(published) do use_slot(free_at, estimate(work_of(other_id)) / slots_each) end
  local sampled, rest_ms = queued_work(queues, own_ms, estimate)
  for _, work_ms in ipairs(sampled) do use_slot(free_at, work_ms / slots_each) end
  local begins_in_ms = use_slot(free_at, 0) + rest_ms / slots
  return begins_in_ms + own_ms
end
