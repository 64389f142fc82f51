-- Returns jobs with expired leases and due retries to the queue, and names the messages that nobody claimed.
-- Arguments:
--   unclaimed_ms: number, after which a message counts as lost
--   max_losses: number, of attempts whose lease expired, before the job fails
--   retention_ms: number, how long an ended job is kept
--   lease_ms: number, how long a claim holds without a heartbeat
--   alive_ms: number, how long a worker counts as alive after its heartbeat
--   with_leases: flag, whether to look for expired leases
--   worker_id: text, the worker that calls this right after its heartbeat; '' if it is no worker
-- Returns: {jobs rescued, jobs given up, retries due, jobs rescued without a loss, engine, priority, job id, ... of the
--  messages that the caller must send again}
-- include lib/clock
-- include lib/workers
-- include lib/jobs/chains
-- include lib/jobs/claims
-- include lib/jobs/end
-- include lib/jobs/queue

local MAX_JOBS = 200 -- of each kind in one run, so that it does not block Redis for long
local now = now_ms()

-- Returns whether this call lay in the buffer of a Redis that hung: the heartbeat that was sent right before it is old.
-- Live workers could not renew their leases in that time.
local function was_held_up()
  local heartbeat_ms = worker_id ~= '' and redis.call('ZSCORE', key('workers'), worker_id)
  return heartbeat_ms and now - heartbeat_ms > lease_ms / 2
end

-- Returns a running job to the queue. `created_ms` is its place there.
local function requeue(job_id, created_ms)
  end_claim(job_id)
  enter_queue(job_id, created_ms)
end

-- Counts a loss of a job whose worker has died. Returns whether the job failed, because it was lost too often.
local function lose_attempt(job_id, attempt, created_ms)
  local error_json = cjson.encode({code = 'worker_lost', attempt = tonumber(attempt), at_ms = now,
    message = 'The worker stopped sending heartbeats.', retryable = true})
  append_attempt_error(job_id, error_json)
  if redis.call('HINCRBY', key('job', job_id), 'losses', 1) < max_losses then
    requeue(job_id, created_ms)
    return false
  end
  redis.call('HINCRBY', key('failures'), 'worker_lost', 1)
  end_job(job_id, 'running', 'failed', retention_ms, 'error', error_json, 'fence', '0')
  return true
end

-- Ends expired leases. Returns how many jobs were queued again, failed, and were queued again without a loss.
local function end_expired_leases()
  local requeued, failed, uncharged = 0, 0, 0
  -- When Redis was last unavailable. If a lease was renewed before that and not since, nobody knows whether its worker
  -- died or could not reach Redis. That costs no attempt.
  local unavailable_until = tonumber(redis.call('GET', key('away')) or '-inf')
  local expired = redis.call('ZRANGEBYSCORE', key('running'), '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, MAX_JOBS)
  for i = 1, #expired, 2 do
    local job_id, renewed_at = expired[i], expired[i + 1] - lease_ms
    local state, attempt, created_ms = job_fields(job_id, 'state', 'attempt', 'created_ms')
    redis.call('ZREM', key('running'), job_id)
    if state == 'running' and renewed_at <= unavailable_until then
      redis.call('HINCRBY', key('job', job_id), 'attempt', -1)
      requeue(job_id, created_ms)
      uncharged = uncharged + 1
    elseif state == 'running' then
      if lose_attempt(job_id, attempt, created_ms) then failed = failed + 1 else requeued = requeued + 1 end
    end
  end
  return requeued, failed, uncharged
end

-- Settles a job that has waited long for its source, in case the end of the source did not.
local function recheck_source(job_id)
  local its_end, error_json = settle_follower(job_id)
  if its_end then end_job(job_id, 'queued', its_end, retention_ms, 'error', error_json) end
end

-- Returns delayed jobs to the queue when their pause is over. Returns how many.
local function queue_due_retries()
  local due = 0
  for _, job_id in ipairs(redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', int(now), 'LIMIT', 0, MAX_JOBS)) do
    redis.call('ZREM', key('delayed'), job_id)
    local state, created_ms, awaits = job_fields(job_id, 'state', 'created_ms', 'awaits')
    if state == 'queued' and awaits then
      recheck_source(job_id)
    elseif state == 'queued' then
      enter_queue(job_id, created_ms)
      due = due + 1
    end
  end
  return due
end

-- Appends the messages of published jobs that nobody claimed in time to a flat list.
local function append_unclaimed(to_send)
  for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
    local published, unclaimed = key('published', engine), {}
    -- While all workers wait for the storage, none claims jobs and no message is lost.
    if live_slots(engine, now - alive_ms) > 0 then
      unclaimed = redis.call('ZRANGEBYSCORE', published, '-inf', int(now - unclaimed_ms), 'LIMIT', 0, MAX_JOBS)
    end
    for _, job_id in ipairs(unclaimed) do
      redis.call('ZADD', published, int(now), job_id)
      for _, part in ipairs({engine, job_fields(job_id, 'class'), job_id}) do to_send[#to_send + 1] = part end
    end
  end
end

local rescued, given_up, uncharged = 0, 0, 0
if was_held_up() then
  redis.call('SET', key('away'), int(now))
elseif with_leases then
  rescued, given_up, uncharged = end_expired_leases()
end
local answer = {rescued, given_up, queue_due_retries(), uncharged}
append_unclaimed(answer)
return answer
