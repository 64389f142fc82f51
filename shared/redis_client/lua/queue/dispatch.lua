-- Moves jobs from the queues into the window of published jobs. For interactive jobs the window is two published jobs
-- for each live slot. For bulk jobs it is two for each slot that they may take, running jobs included. So every worker
-- has a thread that no bulk job holds, and an interactive job is claimed at once.
-- Arguments:
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: a flat list engine, priority, job id, ... of the messages that the caller must send
-- include lib/clock
-- include lib/workers

local now = now_ms()
local to_send = {}

-- Takes the first job of the queue owner whose turn it is.
local function take_next_job(engine, priority)
  local turns = key('turns', engine, priority)
  local queue_owner = redis.call('ZRANGE', turns, 0, 0)[1]
  local queue = key('line', engine, priority, queue_owner)
  local job_id = redis.call('ZPOPMIN', queue)[1]
  if redis.call('ZCARD', queue) == 0 then
    redis.call('ZREM', turns, queue_owner)
  else
    redis.call('ZADD', turns, redis.call('INCR', key('clock', engine, priority)), queue_owner)
  end
  return job_id
end

local function publish(job_id, engine, priority)
  redis.call('ZADD', key('published', engine), int(now), job_id)
  if priority == 'bulk' then redis.call('SADD', key('bulk', engine), job_id) end
  redis.call('HINCRBY', key('job', job_id), 'version', 1)
  -- The job's place among the published ones. It stays when the message is sent again.
  redis.call('HSET', key('job', job_id), 'turn', redis.call('INCR', key('turn')))
  for _, part in ipairs({engine, priority, job_id}) do to_send[#to_send + 1] = part end
end

local function fill_window(engine, priority, free)
  while free > 0 and redis.call('EXISTS', key('turns', engine, priority)) == 1 do
    local job_id = take_next_job(engine, priority)
    if job_id and redis.call('EXISTS', key('job', job_id)) == 1 then
      publish(job_id, engine, priority)
      free = free - 1
    end
  end
end

for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
  if redis.call('SISMEMBER', key('paused'), engine) == 0 then
    local published, bulk = key('published', engine), key('bulk', engine)
    local slots, slots_for_bulk = live_slots(engine, now - alive_ms)
    local interactive = redis.call('ZCARD', published) - redis.call('ZINTERCARD', 2, published, bulk)
    fill_window(engine, 'interactive', 2 * slots - interactive)
    fill_window(engine, 'bulk', 2 * slots_for_bulk - redis.call('SCARD', bulk))
  end
end
return to_send
