-- The end of a job: succeeded, failed or canceled.
-- include lib/clock
-- include lib/record_bytes
-- include lib/jobs/states
-- include lib/jobs/chains
-- include lib/jobs/equal_jobs
-- include lib/jobs/read_outputs
-- include lib/batches/end
-- include lib/webhooks/messages

local INDEX_BYTES = 1700 -- bytes that an ended job takes in addition to the values of its fields

-- Charges what a record has become longer than JOB_BYTES expects, for example by many outputs or long errors.
local function charge_longer_record(job_id)
  local bytes = INDEX_BYTES
  for _, value in ipairs(redis.call('HVALS', key('job', job_id))) do bytes = bytes + #value end
  local more = bytes - tonumber(job_fields(job_id, 'record_bytes') or bytes)
  if more > 0 then charge_job(job_id, more) end
end

-- Ends a job that is in the state `from`, and sets more fields. Jobs that wait for it are queued, or end as well.
local function end_job(job_id, from, state, retention_ms, ...)
  local now, batch_id = now_ms(), job_fields(job_id, 'batch')
  redis.call('ZREM', key('running'), job_id)
  leave_bulk_jobs(job_id)
  release_equal_jobs(job_id)
  stop_waiting(job_id)
  release_source_outputs(job_fields(job_id, 'request'), job_id)
  move_job(job_id, from, state, 'finished_ms', int(now), 'stage', '', ...)
  if batch_id then
    set_item_letter(batch_id, item_number(job_id), string.upper(string.sub(state, 1, 1)))
    redis.call('SADD', key('batch', batch_id, 'ended'), int(item_number(job_id)))
    end_batch_if_done(batch_id, retention_ms, now)
  else
    redis.call('HSET', key('job', job_id), 'expires_ms', int(now + retention_ms))
    redis.call('ZADD', key('settled'), int(now + retention_ms), job_id)
  end
  charge_longer_record(job_id)
  create_webhook_message(key('job', job_id), job_id, 'job.' .. state, now)
  for _, follower_id in ipairs(redis.call('SMEMBERS', key('job', job_id, 'followers'))) do
    local its_end, error_json = settle_follower(follower_id)
    if its_end then end_job(follower_id, 'queued', its_end, retention_ms, 'error', error_json) end
  end
end
