-- Queues a failed or canceled job again, by hand, with all attempts.
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
--  outputs of another job, or {the limit that refuses it (lib/jobs/limits.lua), {}}
-- include lib/jobs/limits
-- include lib/jobs/queue
-- include lib/jobs/read_outputs
-- include lib/jobs/reply
-- include lib/jobs/states
-- include lib/webhooks/messages

local state, owner, engine, batch_id, request = job_fields(job_id, 'state', 'owner', 'engine', 'batch', 'request')
if batch_id then return {'batch', ''} end
if state == 'failed' or state == 'canceled' then
  if tonumber(redis.call('HGET', key('count'), 'queued') or 0) >= max_queued then
    return {'full', int(next_place_ms(engine, now_ms() - alive_ms))}
  end
  local refused = job_refusal(owner, max_owner_queued, max_owner_audio_ms, max_owner_stored_bytes,
    max_owner_record_bytes, max_record_bytes)
  if refused then return {refused, {}} end
  local unreadable = keep_source_outputs(request, job_id)
  if unreadable then return {unreadable, ''} end
  redis.call('ZREM', key('settled'), job_id)
  -- The job will have another end, with another message.
  if names_webhook(request) then charge_job(job_id, WEBHOOK_BYTES) end
  redis.call('HDEL', key('job', job_id), 'finished_ms', 'expires_ms', 'error', 'attempt_errors', 'started_ms',
    'waiting', 'waits')
  move_job(job_id, state, 'queued', 'losses', 0, 'attempt', 0, 'progress', 0, 'stage', '')
  enter_queue(job_id, now_ms())
end
return {state or '', job_reply(job_id, now_ms() - alive_ms)}
