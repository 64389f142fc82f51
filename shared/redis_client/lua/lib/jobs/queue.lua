-- The queues of jobs that wait to be published. An owner has one queue for each engine and priority; each batch has
-- queues of its own. The owner or batch to which a queue belongs is called its queue owner. Queue owners take turns.
-- include lib/jobs/record

-- Returns the engine, priority and queue owner of the queue that a job belongs to.
local function queue_of(job_id)
  local engine, priority, owner, batch_id = job_fields(job_id, 'engine', 'class', 'owner', 'batch')
  return engine, priority, batch_id or owner
end

-- Records that a bulk job is neither published nor running.
local function leave_bulk_jobs(job_id) redis.call('SREM', key('bulk', job_fields(job_id, 'engine')), job_id) end

local function enter_queue(job_id, position_ms)
  local engine, priority, queue_owner = queue_of(job_id)
  leave_bulk_jobs(job_id)
  redis.call('ZADD', key('line', engine, priority, queue_owner), int(position_ms), job_id)
  redis.call('SADD', key('engines'), engine)
  local turns = key('turns', engine, priority)
  if not redis.call('ZSCORE', turns, queue_owner) then
    -- A new queue owner goes behind all that wait, so an owner gains nothing by leaving and coming back.
    redis.call('ZADD', turns, redis.call('INCR', key('clock', engine, priority)), queue_owner)
  end
end

-- Removes a job from its queue, from the published jobs and from the delayed ones, wherever it is.
local function leave_queue(job_id)
  local engine, priority, queue_owner = queue_of(job_id)
  local queue = key('line', engine, priority, queue_owner)
  redis.call('ZREM', queue, job_id)
  if redis.call('ZCARD', queue) == 0 then redis.call('ZREM', key('turns', engine, priority), queue_owner) end
  redis.call('ZREM', key('published', engine), job_id)
  redis.call('ZREM', key('delayed'), job_id)
end
