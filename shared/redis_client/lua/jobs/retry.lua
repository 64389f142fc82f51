-- Queues a failed or canceled job again for a client; the job gets all its attempts again. The jobs that waited for it
-- and ended with it wait again. A job that never had its source waits for it, or gets it.
-- Arguments:
--   job_id: text
--   max_queued: number, of all owners
--   max_owner_queued: number, 0: no limit
--   max_owner_audio_ms: number, of audio per day; 0: no limit
--   max_owner_stored_bytes: number, 0: no limit
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
--   alive_ms: number, how long a worker counts as alive after its heartbeat
-- Returns: {state before, '' if there is no such job; the job's reply}, {'batch', ''} for a batch's job, which is
--  retried with its batch, {'full', ms until the next place is free}, {'source_gone' or 'source_changing', ''} for
--  outputs of another job, {'source_ended', its id} if it waited for a job that has not succeeded,
--  {'chain_too_large', number of jobs} if it would run more jobs than its owner may have queued, or
--  {the limit that refuses it (lib/jobs/limits.lua), {}}
-- include lib/jobs/chains
-- include lib/jobs/limits
-- include lib/jobs/queue
-- include lib/jobs/read_outputs
-- include lib/jobs/reply
-- include lib/jobs/states
-- include lib/webhooks/messages

local state, owner, engine, batch_id, request, awaits = job_fields(
  job_id, 'state', 'owner', 'engine', 'batch', 'request', 'awaits')
if batch_id then return {'batch', ''} end
local function has_no_end(a_state) return a_state == 'queued' or a_state == 'running' end

-- Returns why a job that waited for its source cannot go on, or nil.
local function problem_of_source()
  local source_state, outputs = job_fields(awaits, 'state', 'outputs')
  if has_no_end(source_state) then return end
  if source_state == 'failed' or source_state == 'canceled' then return {'source_ended', awaits} end
  if not source_state or not source_members(outputs, cjson.decode(request).source.output) then
    return {'source_gone', ''}
  end
end

-- Appends the jobs that ended because they waited for this one, directly or not, to a list. A job that was canceled by
-- itself is not among them.
local function append_followers(list, id)
  for _, follower in ipairs(cjson.decode(job_fields(id, 'request'))['then'] or {}) do
    local its_state, with_source = job_fields(follower.job_id, 'state', 'ended_with_source')
    if with_source and (its_state == 'failed' or its_state == 'canceled') then
      list[#list + 1] = follower.job_id
      append_followers(list, follower.job_id)
    end
  end
  return list
end

-- Makes a job as if it had just been submitted.
local function begin_again(id, from)
  redis.call('ZREM', key('settled'), id)
  -- The job will have another end, with another message.
  charge_job(id, message_bytes(job_fields(id, 'request')))
  redis.call('HDEL', key('job', id), 'finished_ms', 'expires_ms', 'error', 'attempt_errors', 'started_ms',
    'waiting', 'waits', 'ended_with_source')
  move_job(id, from, 'queued', 'losses', 0, 'attempt', 0, 'progress', 0, 'stage', '')
end

if state == 'failed' or state == 'canceled' then
  local followers = append_followers({}, job_id)
  local number = 1 + #followers
  -- Waiting for places would not help.
  if max_owner_queued > 0 and number > max_owner_queued then return {'chain_too_large', int(number)} end
  if tonumber(redis.call('HGET', key('count'), 'queued') or 0) + number > max_queued then
    return {'full', int(next_place_ms(engine, now_ms() - alive_ms))}
  end
  local refused = job_refusal(owner, number, max_owner_queued, max_owner_audio_ms, max_owner_stored_bytes,
    max_owner_record_bytes, max_record_bytes)
  if refused then return {refused, {}} end
  local problem = awaits and problem_of_source()
  if problem then return problem end
  local unreadable = keep_source_outputs(request, job_id, awaits and has_no_end(job_fields(awaits, 'state')))
  if unreadable then return {unreadable, ''} end
  begin_again(job_id, state)
  if awaits then
    await_source(job_id, awaits)
    settle_follower(job_id)
  else
    enter_queue(job_id, now_ms())
  end
  for _, follower_id in ipairs(followers) do
    begin_again(follower_id, job_fields(follower_id, 'state'))
    local its_request, its_source = job_fields(follower_id, 'request', 'awaits')
    keep_source_outputs(its_request, follower_id, true)
    await_source(follower_id, its_source)
  end
end
return {state or '', job_reply(job_id, now_ms() - alive_ms)}
