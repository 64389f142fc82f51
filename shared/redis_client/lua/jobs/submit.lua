-- Accepts a job, and the jobs that continue it: writes the records, the queue and the counts in one step. It returns
-- the first job's record too, because a second call could fail although the jobs were accepted.
-- Arguments:
--   job_id: text
--   schema: text, of the record (shared/parsing/stored_records.py)
--   request: text, as JSON
--   owner: text
--   engine: text
--   priority: text
--   max_queued: number, of all owners
--   upload_id: text, the source; '' if it is in another bucket
--   max_owner_queued: number, 0: no limit
--   max_owner_audio_ms: number, of audio per day; 0: no limit
--   max_owner_stored_bytes: number, 0: no limit
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
--   alive_ms: number, how long a worker counts as alive after its heartbeat
--   batch_id: text, the batch whose item this is, or ''
--   kind: text, engine with preset and parameters, for estimates
--   extension: text, of the file's name, for estimates
--   guessed_ms: number, the length of the audio as estimated from the file's size; 0: unknown
--   excerpt_ms: number, '' for the whole track
--   awaits: text, the job whose output is the source, if that has not ended; ''
--   followers: list, jobs that wait for this one or an earlier one in it: JSON of id, schema, engine, kind, request
-- Returns: {'ok' or 'exists', the job's reply}, {'full', ms until the next place is free}, {'draining'},
--  {'upload_gone'}, {'source_gone'} or {'source_changing'} for outputs of another job, {'not_waiting'} if the item
--  needs no job, or {the limit that refuses it (lib/jobs/limits.lua)}
-- include lib/uploads
-- include lib/batches/items
-- include lib/jobs/chains
-- include lib/jobs/limits
-- include lib/jobs/queue
-- include lib/jobs/read_outputs
-- include lib/jobs/reply
-- include lib/jobs/states
-- include lib/webhooks/messages

if redis.call('EXISTS', key('job', job_id)) == 1 then return {'exists', job_reply(job_id, now_ms() - alive_ms)} end
if batch_id ~= '' and not is_waiting(item_letter(batch_id, item_number(job_id))) then return {'not_waiting'} end
local number = 1 + #followers
if tonumber(redis.call('HGET', key('count'), 'queued') or 0) + number > max_queued then
  return {'full', int(next_place_ms(engine, now_ms() - alive_ms))}
end
for i, follower in ipairs(followers) do
  followers[i] = cjson.decode(follower)
  if redis.call('SISMEMBER', key('draining'), followers[i].engine) == 1 then return {'draining'} end
end
if redis.call('SISMEMBER', key('draining'), engine) == 1 then return {'draining'} end
local refused = job_refusal(owner, number, max_owner_queued, max_owner_audio_ms, max_owner_stored_bytes,
  max_owner_record_bytes, max_record_bytes)
if refused then return {refused} end
if upload_id ~= '' and not upload_exists(upload_id) then return {'upload_gone'} end
local unreadable = keep_source_outputs(request, job_id, awaits ~= '')
if unreadable then return {unreadable} end
if upload_id ~= '' then use_upload(upload_id, job_id) end

-- Returns the expected length of the audio, or nil: as another job with this upload has found it, or by the file's
-- size.
local function expected_audio_ms()
  local audio_ms = upload_id ~= '' and tonumber(redis.call('HGET', key('upload', upload_id), 'audio_ms') or nil)
  if not audio_ms and guessed_ms > 0 then
    audio_ms = guessed_ms * (redis.call('HGET', key('lengths'), extension) or 1)
  end
  if excerpt_ms then audio_ms = math.min(audio_ms or excerpt_ms, excerpt_ms) end
  return audio_ms
end

local now = now_ms()

-- Writes the record of one of the jobs.
local function write_record(id, its_schema, its_request, its_engine, its_kind)
  redis.call('HSET', key('job', id), 'schema', its_schema, 'request', its_request, 'owner', owner, 'engine', its_engine,
    'class', priority, 'created_ms', int(now), 'version', int(now), 'attempt', 0, 'losses', 0, 'progress', 0,
    'kind', its_kind)
  charge_job(id, JOB_BYTES + #its_request + message_bytes(its_request))
end

local function list_job(id)
  redis.call('ZADD', key('jobs'), int(now), id)
  redis.call('ZADD', key('jobs', owner), int(now), id)
end

write_record(job_id, schema, request, engine, kind)
local audio_ms = expected_audio_ms()
redis.call('HSET', key('job', job_id), 'form', extension, 'guessed_ms', int(guessed_ms))
if audio_ms then redis.call('HSET', key('job', job_id), 'audio_ms', int(audio_ms)) end
if batch_id ~= '' then
  redis.call('HSET', key('job', job_id), 'batch', batch_id)
  set_item_letter(batch_id, item_number(job_id), 'q')
  count_items(batch_id, 'waiting', -1)
else
  list_job(job_id)
end
if awaits ~= '' then await_source(job_id, awaits) else enter_queue(job_id, now) end
move_job(job_id, nil, 'queued')

for _, follower in ipairs(followers) do
  write_record(follower.id, follower.schema, follower.request, follower.engine, follower.kind)
  list_job(follower.id)
  keep_source_outputs(follower.request, follower.id, true)
  await_source(follower.id, cjson.decode(follower.request).source.job_id)
  move_job(follower.id, nil, 'queued')
end
return {'ok', job_reply(job_id, now - alive_ms)}
