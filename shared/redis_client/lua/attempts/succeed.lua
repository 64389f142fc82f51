-- Stores the outputs and ends the job, in one step. A repetition by the same claim returns 1 again, because the first
-- answer may have been lost.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   outputs: text, as JSON
--   probed: text, what the source is, as JSON
--   report: text, as JSON
--   retention_ms: number, how long an ended job is kept
--   took_ms: number, how long the job held a slot
--   charged_audio_ms: number, of audio for the owner's daily quota
--   content: text, the digests of the results, separated by spaces
--   cached: flag, whether an equal job made the outputs
--   course: text, pairs of a progress and a share of the time; '' if nothing was learnt
-- Returns: 1, or 0 if the claim no longer holds
-- include lib/stored_bytes
-- include lib/estimates/work_statistics
-- include lib/jobs/audio_length
-- include lib/jobs/claims
-- include lib/jobs/end
-- include lib/jobs/limits

if has_ended_as(job_id, fence, 'succeeded') then return 1 end
if not holds_claim(job_id, fence) then return 0 end
local engine, owner, request_json = job_fields(job_id, 'engine', 'owner', 'request')
local request, output_bytes = cjson.decode(request_json), total_bytes(outputs)

-- Clients create kinds by the parameters that they ask for, so only the latest kinds are kept.
local MAX_KINDS = 500
local function remember_kind(kind)
  redis.call('ZADD', key('kinds'), int(now_ms()), kind)
  local oldest = redis.call('ZRANGE', key('kinds'), 0, -MAX_KINDS - 1)
  for _, old_kind in ipairs(oldest) do redis.call('DEL', key('work', old_kind), key('course', old_kind)) end
  redis.call('ZREMRANGEBYRANK', key('kinds'), 0, -MAX_KINDS - 1)
end

-- Learns by which factor the length that was estimated from the file's size was wrong.
local function learn_length(extension, guessed_ms, source_seconds)
  local factor = math.max(0.05, math.min(20, 1000 * source_seconds / guessed_ms))
  local before = redis.call('HGET', key('lengths'), extension) or factor
  redis.call('HSET', key('lengths'), extension, string.format('%.4f', 0.7 * before + 0.3 * factor))
end

-- Learns from this job how long audio is, and how long its work takes.
local function learn_from_job(source_seconds)
  if type(source_seconds) ~= 'number' or source_seconds <= 0 then return end
  set_audio_length(job_id, source_seconds)
  local kind, audio_ms, guessed, extension = job_fields(job_id, 'kind', 'audio_ms', 'guessed_ms', 'form')
  local upload_id, guessed_ms = request.source.upload_id, tonumber(guessed or 0)
  if type(upload_id) == 'string' and redis.call('EXISTS', key('upload', upload_id)) == 1 then
    redis.call('HSET', key('upload', upload_id), 'audio_ms', int(1000 * source_seconds))
  end
  if guessed_ms > 0 then learn_length(extension, guessed_ms, source_seconds) end
  if kind then remember_kind(kind) end
  for _, learner in ipairs({engine, kind or nil}) do
    if took_ms > 0 then learn_work(learner, tonumber(audio_ms), took_ms) end
    if course ~= '' then learn_course(learner, course) end
  end
end

-- Moves the running average in a key towards a value.
local function update_average(name, value)
  local average = tonumber(redis.call('GET', name) or value)
  redis.call('SET', name, int(0.8 * average + 0.2 * value))
end

-- Mixing the outputs of another job tells nothing about how long separations take.
local mixes_outputs = type(request.source.outputs) == 'table' and #request.source.outputs > 0
if not cached and not mixes_outputs then
  learn_from_job(cjson.decode(probed).duration_seconds)
  update_average(key('pace', engine), took_ms)
  update_average(key('made', engine, request.format), output_bytes)
end
for digest in string.gmatch(content, '%S+') do
  redis.call('SET', key('content', digest), job_id, 'PX', int(retention_ms))
end
charge_stored_bytes(owner, output_bytes)
if charged_audio_ms > 0 then
  redis.call('INCRBY', audio_today_key(owner), int(charged_audio_ms))
  redis.call('PEXPIRE', audio_today_key(owner), 172800000)
end
end_job(job_id, 'running', 'succeeded', retention_ms, 'stored_bytes', int(output_bytes), 'content', content,
  'cached', cached and '1' or '0', 'outputs', outputs, 'probed', probed, 'report', report, 'progress', '1', 'error', '')
return 1
