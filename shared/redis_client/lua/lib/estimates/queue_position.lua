-- Which jobs are served before a job. Jobs are served in this order: running, claimed, published, queued. However long
-- the queues are, only a bounded number of entries is read.
-- include lib/jobs/record

local MAX_READ = 200 -- how many queue owners, and how many published jobs, are read

-- Returns the queues of one engine and priority that are served before a job, each as {queue, number of jobs}. Queue
-- owners take turns, so each other one is served about as often as the job's own before it is this job's turn.
local function queues_of_same_priority(engine, priority, queue_owner, rank)
  local own_turn = tonumber(redis.call('ZSCORE', key('turns', engine, priority), queue_owner) or 0)
  local ahead = {{key('line', engine, priority, queue_owner), rank}}
  local turns = redis.call('ZRANGE', key('turns', engine, priority), 0, MAX_READ - 1, 'WITHSCORES')
  for i = 1, #turns, 2 do
    local other, turn = turns[i], tonumber(turns[i + 1])
    if other ~= queue_owner then
      local queue, served = key('line', engine, priority, other), rank
      if turn < own_turn then served = rank + 1 end
      ahead[#ahead + 1] = {queue, math.min(redis.call('ZCARD', queue), served)}
    end
  end
  return ahead
end

-- Returns all queues that are served before the job of this rank in its own queue. Bulk jobs wait for interactive ones.
local function queues_ahead(engine, priority, queue_owner, rank)
  local ahead = queues_of_same_priority(engine, priority, queue_owner, rank)
  if priority == 'bulk' then
    for _, other in ipairs(redis.call('ZRANGE', key('turns', engine, 'interactive'), 0, MAX_READ - 1)) do
      local queue = key('line', engine, 'interactive', other)
      ahead[#ahead + 1] = {queue, redis.call('ZCARD', queue)}
    end
  end
  return ahead
end

-- Returns whether a job that left its queue with number `other_number` is served before one with `number` (nil: it is
-- still queued). Interactive jobs overtake bulk jobs.
local function is_served_before(other_priority, other_number, priority, number)
  if other_priority == priority then return not number or tonumber(other_number or 0) < number end
  return other_priority == 'interactive' and priority == 'bulk'
end

-- Returns the published jobs that are claimed before a job with this turn (nil: before all queued jobs).
local function published_ahead(engine, priority, turn)
  local ahead = {}
  for _, job_id in ipairs(redis.call('ZRANGE', key('published', engine), 0, MAX_READ - 1)) do
    local other_turn, other_priority = job_fields(job_id, 'turn', 'class')
    if is_served_before(other_priority, other_turn, priority, turn) then ahead[#ahead + 1] = job_id end
  end
  return ahead
end

-- Returns a job's position in the queue from 1, the published jobs ahead, and the queues ahead. Returns nothing for a
-- job that waits for its retry.
local function queue_position(job_id, engine, priority, queue_owner)
  if redis.call('ZSCORE', key('published', engine), job_id) then
    local published = published_ahead(engine, priority, tonumber(job_fields(job_id, 'turn') or 0))
    return #published + 1, published, {}
  end
  local rank = redis.call('ZRANK', key('line', engine, priority, queue_owner), job_id)
  if not rank then return nil end
  local published, queues = published_ahead(engine, priority, nil), queues_ahead(engine, priority, queue_owner, rank)
  local number_published = redis.call('ZCARD', key('published', engine))
  if priority == 'interactive' then
    number_published = number_published - redis.call('ZINTERCARD', 2, key('published', engine), key('bulk', engine))
  end
  -- Published jobs that were not read are assumed to be like the others.
  local unread = number_published - #published
  if unread > 0 then queues[#queues + 1] = {key('published', engine), unread} end
  local position = 1 + #published
  for _, queue in ipairs(queues) do position = position + queue[2] end
  return position, published, queues
end
