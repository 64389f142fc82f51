-- Chains: a job may wait for another one, because its source is an output of that job. It is queued without a place in
-- a queue. `awaits` in its record names the job that it waits for; the set job:<id>:followers names the jobs that wait
-- for a job. The script that ends a job settles them in the same step (lib/jobs/end.lua). They are also in `delayed`,
-- so that the rescuer looks after them if a process of an older version, which knows no chains, ended the job.
-- include lib/clock
-- include lib/jobs/audio_length
-- include lib/jobs/queue
-- include lib/jobs/record

local SOURCE_RECHECK_MS = 600000 -- normally the end of the source settles a job earlier

-- Counts the items of a job's batch that wait for another one. They take no slot, so more items may become jobs.
local function count_awaiting(job_id, by)
  local batch_id = job_fields(job_id, 'batch')
  if batch_id then redis.call('HINCRBY', key('batch', batch_id), 'n_awaiting', by) end
end

local function await_source(job_id, source_id)
  count_awaiting(job_id, 1)
  redis.call('HSET', key('job', job_id), 'awaits', source_id)
  redis.call('SADD', key('job', source_id, 'followers'), job_id)
  redis.call('ZADD', key('delayed'), int(now_ms() + SOURCE_RECHECK_MS), job_id)
end

-- Takes a job out of the jobs that wait. `awaits` stays: it tells a retry that the job never had its source.
local function stop_waiting(job_id)
  local source_id = job_fields(job_id, 'awaits')
  if not source_id then return end
  -- Older versions of Redis refuse HINCRBY by Lua's -0.
  if redis.call('SREM', key('job', source_id, 'followers'), job_id) == 1 then count_awaiting(job_id, -1) end
  redis.call('ZREM', key('delayed'), job_id)
end

-- Returns what a source tells of a stem or mix among a job's outputs, or nil if it has no such output.
local function source_members(outputs_json, name)
  for _, output in ipairs(cjson.decode(outputs_json)) do
    if output.name == name and (output.kind == 'stem' or output.kind == 'mix') then
      local details = output.details
      return {key = output.key, size_bytes = output.size_bytes, sha256 = output.sha256, etag = details.storage_etag,
        duration_seconds = details.duration_seconds}
    end
  end
end

-- Returns the error of a job whose source has no output for it.
local function source_error(source_id, name, state, error_json)
  local reason = 'has made no such output.'
  if state == 'failed' then
    local fault = error_json and error_json ~= '' and cjson.decode(error_json) or {}
    reason = 'has failed: ' .. (fault.message or 'it gave no reason.')
  elseif not state then
    reason = 'no longer exists.'
  end
  return cjson.encode({code = 'source_failed', source_job_id = source_id, retryable = false,
    message = 'This job was to continue with the output ' .. name .. ' of job ' .. source_id .. ', which ' .. reason})
end

-- Queues a job that waits, if its source has succeeded. Returns nothing if it was queued or still waits; otherwise the
-- state in which the caller must end it, and the error. `ended_with_source` tells a retry of the source to revive it.
local function settle_follower(job_id)
  local job_state, source_id, request = job_fields(job_id, 'state', 'awaits', 'request')
  if job_state ~= 'queued' or not source_id then
    -- A process of an older version, which knows no chains, ended it.
    stop_waiting(job_id)
    return
  end
  local state, outputs, error_json = job_fields(source_id, 'state', 'outputs', 'error')
  if state == 'queued' or state == 'running' then
    redis.call('ZADD', key('delayed'), int(now_ms() + SOURCE_RECHECK_MS), job_id)
    return
  end
  stop_waiting(job_id)
  local name = cjson.decode(request).source.output
  local source = state == 'succeeded' and source_members(outputs, name)
  if not source then
    redis.call('HSET', key('job', job_id), 'ended_with_source', '1')
    if state == 'canceled' then return 'canceled', '' end
    return 'failed', source_error(source_id, name, state, error_json)
  end
  redis.call('HDEL', key('job', job_id), 'awaits')
  set_audio_length(job_id, source.duration_seconds)
  set_job_fields(job_id, 'source', cjson.encode(source), 'queued_ms', int(now_ms()))
  enter_queue(job_id, job_fields(job_id, 'created_ms'))
end
