-- An estimate of how many bytes of Redis the records take, for each owner and for all. It is charged when a record is
-- written and returned when the record is deleted.
-- include lib/clock
-- include lib/jobs/record

-- What a record takes beside the clients' own text, as measured by tests/bench/batches/record_bytes.py: an ended job
-- with its places in the indexes, the webhook of one end with the log of its deliveries, and so on.
local JOB_BYTES, MESSAGE_BYTES, BATCH_BYTES, UPLOAD_BYTES = 4000, 3000, 4000, 450
local RESULT_BYTES, MARK_BYTES, IDEMPOTENCY_BYTES = 80, 90, 500

local function charge_records(owner, bytes)
  redis.call('HINCRBY', key('usage', owner), 'records', int(bytes))
  redis.call('INCRBY', key('records'), int(bytes))
end

local function charge_job(job_id, bytes)
  charge_records(job_fields(job_id, 'owner'), bytes)
  redis.call('HINCRBY', key('job', job_id), 'record_bytes', int(bytes))
end

local function delete_job_record(job_id)
  local owner, bytes = job_fields(job_id, 'owner', 'record_bytes')
  if bytes then charge_records(owner, -bytes) end
  redis.call('DEL', key('job', job_id), key('job', job_id, 'readers'), key('job', job_id, 'followers'))
end

local function charge_batch(batch_id, bytes)
  charge_records(redis.call('HGET', key('batch', batch_id), 'owner'), bytes)
  redis.call('HINCRBY', key('batch', batch_id), 'record_bytes', int(bytes))
end

-- Idempotency records expire after a day without a script. They are therefore counted by the hour of their creation.
local HOUR_MS, KEPT_HOURS = 3600000, 25

local function charge_idempotency(owner, bytes)
  redis.call('HINCRBY', key('repetitions', owner), int(math.floor(now_ms() / HOUR_MS)), int(bytes))
  redis.call('PEXPIRE', key('repetitions', owner), KEPT_HOURS * HOUR_MS)
end

local function idempotency_bytes(owner)
  local bytes, expired_hour = 0, math.floor(now_ms() / HOUR_MS) - KEPT_HOURS
  local bytes_by_hour = redis.call('HGETALL', key('repetitions', owner))
  for i = 1, #bytes_by_hour, 2 do
    if tonumber(bytes_by_hour[i]) > expired_hour then
      bytes = bytes + bytes_by_hour[i + 1]
    else
      redis.call('HDEL', key('repetitions', owner), bytes_by_hour[i])
    end
  end
  return bytes
end

-- Returns why an owner may have no more records, 'records_full' or 'memory_full', or nil. A limit of 0 means no limit.
local function record_refusal(owner, max_owner_record_bytes, max_record_bytes)
  if max_owner_record_bytes > 0 then
    local bytes = tonumber(redis.call('HGET', key('usage', owner), 'records') or 0)
    if bytes + idempotency_bytes(owner) >= max_owner_record_bytes then return 'records_full' end
  end
  if max_record_bytes > 0 and tonumber(redis.call('GET', key('records')) or 0) >= max_record_bytes then
    return 'memory_full'
  end
end
