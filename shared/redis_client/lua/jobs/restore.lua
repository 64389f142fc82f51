-- Restores the record of an ended job from the document in the storage, after Redis was lost.
-- Arguments:
--   job_id: text
--   schema: text, of the record (shared/parsing/stored_records.py)
--   owner: text
--   engine: text
--   priority: text
--   request: text, as JSON
--   state: text
--   created_ms: number
--   finished_ms: number
--   retention_ms: number, how long an ended job is kept
--   outputs: text, as JSON
--   probed: text, as JSON, or ''
--   report: text, as JSON, or ''
--   error_json: text, or ''
--   fence: text, that of the last claim
--   attempt: text, the number of attempts
--   started_ms: text, 0 if it never started
--   attempt_errors: text, one JSON object a line
--   cached: flag, whether an equal job made the outputs
-- Returns: restored, or exists if there is a record
-- include lib/uploads
-- include lib/jobs/states

if redis.call('EXISTS', key('job', job_id)) == 1 then return 'exists' end
local output_bytes = int(total_bytes(outputs))
redis.call('HSET', key('job', job_id), 'schema', schema, 'request', request, 'owner', owner, 'engine', engine,
  'class', priority, 'created_ms', int(created_ms), 'version', int(now_ms()), 'attempt', attempt, 'losses', 0,
  'fence', fence, 'progress', state == 'succeeded' and '1' or '0', 'outputs', outputs, 'probed', probed,
  'report', report, 'error', error_json, 'attempt_errors', attempt_errors, 'cached', cached and '1' or '0',
  'finished_ms', int(finished_ms), 'expires_ms', int(finished_ms + retention_ms), 'stored_bytes', output_bytes)
if started_ms ~= '0' then redis.call('HSET', key('job', job_id), 'started_ms', started_ms) end
charge_stored_bytes(owner, output_bytes)
charge_job(job_id, JOB_BYTES + #request)
redis.call('ZADD', key('jobs'), int(created_ms), job_id)
redis.call('ZADD', key('jobs', owner), int(created_ms), job_id)
redis.call('ZADD', key('settled'), int(finished_ms + retention_ms), job_id)
redis.call('SADD', key('engines'), engine)
-- New fences must be higher than every fence in the storage.
if tonumber(redis.call('GET', key('fence')) or 0) < tonumber(fence) then redis.call('SET', key('fence'), fence) end

local source = cjson.decode(request).source
if source.upload_id and source.upload_id ~= cjson.null then
  if not upload_exists(source.upload_id) then
    redis.call('HSET', key('upload', source.upload_id), 'key', source.key, 'filename', source.filename,
      'implicit', '1', 'owner', owner, 'size_bytes', int(source.size_bytes))
    charge_stored_bytes(owner, source.size_bytes)
    charge_upload(source.upload_id, owner)
  end
  redis.call('SADD', key('upload', source.upload_id, 'jobs'), job_id)
end
move_job(job_id, nil, state)
return 'restored'
