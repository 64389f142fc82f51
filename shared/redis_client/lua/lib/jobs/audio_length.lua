-- How much audio a job separates, once the length of its source is known.
-- include lib/jobs/record

-- Stores the length of the audio that is separated: the source's length, or that of the excerpt.
local function set_audio_length(job_id, source_seconds)
  if type(source_seconds) ~= 'number' then return end
  local request, seconds = cjson.decode(job_fields(job_id, 'request')), source_seconds
  local start, duration = request.excerpt_start_seconds, request.excerpt_duration_seconds
  if type(start) == 'number' then seconds = math.max(0, seconds - start) end
  if type(duration) == 'number' then seconds = math.min(seconds, duration) end
  redis.call('HSET', key('job', job_id), 'audio_ms', int(1000 * seconds))
end
