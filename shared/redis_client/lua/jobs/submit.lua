-- Accept a job: record, line and counters in one step.
-- -> {full, ms until a place is free} or {draining | upload_gone | not_waiting | what refusal says}, or
-- {ok | exists, the record}
-- The record comes at once: an answer that needs a second call could be lost although the job is accepted.
local id, request, owner, engine, class = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_queued, upload = tonumber(ARGV[6]), ARGV[7]
local limits, alive_ms = {}, tonumber(ARGV[13])
for i = 8, 12 do limits[#limits + 1] = tonumber(ARGV[i]) end
local batch = ARGV[14] -- the batch whose item this is, or ''
local kind, form, guessed_ms, excerpt_ms = ARGV[15], ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18] ~= '' and ARGV[18] or nil)
if redis.call('EXISTS', key('job', id)) == 1 then return {'exists', record_of(id, now_ms() - alive_ms)} end
if batch ~= '' and not is_waiting(item_letter(batch, item_of(id))) then return {'not_waiting'} end
if tonumber(redis.call('HGET', key('count'), 'queued') or 0) >= max_queued then
  return {'full', int(step_ms(engine, now_ms() - alive_ms))}
end
if redis.call('SISMEMBER', key('draining'), engine) == 1 then return {'draining'} end
local refused = refusal(owner, unpack(limits))
if refused then return {refused} end
if upload ~= '' then
  if redis.call('EXISTS', key('upload', upload)) == 0 then return {'upload_gone'} end
  redis.call('SADD', key('upload', upload, 'jobs'), id)
  redis.call('ZREM', key('uploads'), upload)
end
local now = now_ms()
redis.call('HSET', key('job', id), 'schema', 1, 'request', request, 'owner', owner, 'engine', engine,
  'class', class, 'created_ms', int(now), 'version', int(now), 'attempt', 0, 'losses', 0, 'progress', 0)
charge_job(id, JOB_BYTES + #request + (names_webhook(request) and WEBHOOK_BYTES or 0))
-- The length of its audio, before anybody has looked: as another job found it, or as the file's size lets guess.
local audio_ms = upload ~= '' and tonumber(redis.call('HGET', key('upload', upload), 'audio_ms') or nil)
if not audio_ms and guessed_ms > 0 then audio_ms = guessed_ms * (redis.call('HGET', key('lengths'), form) or 1) end
if excerpt_ms then audio_ms = math.min(audio_ms or excerpt_ms, excerpt_ms) end
redis.call('HSET', key('job', id), 'kind', kind, 'form', form, 'guessed_ms', int(guessed_ms))
if audio_ms then redis.call('HSET', key('job', id), 'audio_ms', int(audio_ms)) end
if batch ~= '' then
  redis.call('HSET', key('job', id), 'batch', batch)
  mark_item(batch, item_of(id), 'q')
  count_item(batch, 'waiting', -1)
else
  redis.call('ZADD', key('jobs'), int(now), id)
  redis.call('ZADD', key('jobs', owner), int(now), id)
end
enter_line(id, now)
move(id, nil, 'queued')
return {'ok', record_of(id, now - alive_ms)}
