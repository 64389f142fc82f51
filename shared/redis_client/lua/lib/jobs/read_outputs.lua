-- Jobs whose source is outputs of another job. The set job:<id>:readers names the jobs, queued or running, that read
-- the outputs of a job; batch:<id>:readers those that read outputs of a batch's jobs. What is read stays: the job or
-- batch cannot be deleted. Its expiry is put off when the garbage collector comes to it.
-- include lib/clock
-- include lib/batches/items
-- include lib/jobs/record

local RECHECK_MS = 600000 -- how long the expiry of what is read is put off at a time

-- Returns the job whose outputs a request reads, or nil.
local function source_job_of(request_json)
  local id = cjson.decode(request_json).source.job_id
  return type(id) == 'string' and id or nil
end

-- Returns the keys of the record that a job's outputs belong to (its own, or that of its batch), of the record's
-- readers and of the index by expiry, and the record's id. Returns nothing if there is no such record.
local function holder_of(job_id)
  -- A job's id tells its batch (shared/batches/model.py).
  local batch_id = string.sub(job_id, 1, 24) .. '00000000'
  if redis.call('EXISTS', key('batch', batch_id)) == 1 then
    return key('batch', batch_id), key('batch', batch_id, 'readers'), key('batches', 'settled'), batch_id
  end
  local state, batch = job_fields(job_id, 'state', 'batch')
  -- A job that a deleted batch has left is about to be deleted too.
  if state and not batch then return key('job', job_id), key('job', job_id, 'readers'), key('settled'), job_id end
end

-- Returns whether a job reads. Jobs that ended without a word are taken from the set: an older version, which knows no
-- readers, ended them.
local function has_readers(readers)
  while true do
    local reader_id = redis.call('SRANDMEMBER', readers)
    if not reader_id then return false end
    local state = job_fields(reader_id, 'state')
    if state == 'queued' or state == 'running' then return true end
    redis.call('SREM', readers, reader_id)
  end
end

-- Keeps what is read and has expired out of the collector's way for a while, so that it gets to what is behind.
local function put_off_expiry(by_expiry, id)
  local expires_ms, again_ms = redis.call('ZSCORE', by_expiry, id), now_ms() + RECHECK_MS
  if expires_ms and tonumber(expires_ms) < again_ms then redis.call('ZADD', by_expiry, int(again_ms), id) end
end

-- Keeps the outputs that a request names as its source until the reader has ended. Returns why that is impossible:
-- 'source_gone', or 'source_changing' while they may be made again, with the batch or its item; nil if it is done. The
-- outputs of a job that is `awaited` need not be there yet.
local function keep_source_outputs(request_json, reader_id, awaited)
  local source_job = source_job_of(request_json)
  if not source_job then return end
  local record, readers, _, id = holder_of(source_job)
  if not record then return 'source_gone' end
  if redis.call('HEXISTS', record, 'rerunning') == 1 then return 'source_changing' end
  if awaited then
    local state = job_fields(source_job, 'state')
    if state ~= 'queued' and state ~= 'running' then return 'source_changing' end
  elseif id ~= source_job and string.lower(item_letter(id, item_number(source_job))) ~= 's' then
    return 'source_changing'
  end
  redis.call('SADD', readers, reader_id)
end

-- Ends the use of the outputs that a request names as its source. What expired meanwhile is collected next.
local function release_source_outputs(request_json, reader_id)
  local source_job = source_job_of(request_json)
  if not source_job then return end
  local record, readers, by_expiry, id = holder_of(source_job)
  if not record or redis.call('SREM', readers, reader_id) == 0 or has_readers(readers) then return end
  local expires_ms = redis.call('HGET', record, 'expires_ms')
  if expires_ms then redis.call('ZADD', by_expiry, expires_ms, id) end
end
