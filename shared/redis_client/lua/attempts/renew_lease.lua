-- The heartbeat of a claim: renews the lease and stores the progress.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   lease_ms: number, how long the claim holds without a heartbeat
--   stage: text
--   progress: number, 0 to 1
--   probed: text, what the source is as JSON; '' if it is not known yet
-- Returns: 1, or 0 if the claim no longer holds
-- include lib/clock
-- include lib/jobs/audio_length
-- include lib/jobs/claims
-- include lib/estimates/work_statistics

if not holds_claim(job_id, fence) then return 0 end
redis.call('ZADD', key('running'), 'XX', int(now_ms() + lease_ms), job_id)
local stage_before, progress_before, probed_before = job_fields(job_id, 'stage', 'progress', 'probed')
-- Estimates count from here: after its fetch, a job may have waited for a slot.
if stage_before == 'fetch' and stage ~= 'fetch' then
  redis.call('HSET', key('job', job_id), 'working_ms', int(now_ms()))
end

-- A second attempt starts over, but clients never see the progress fall.
local shown_progress = string.format('%.4f', math.max(progress, tonumber(progress_before) or 0))
local is_newly_probed = probed ~= '' and probed ~= probed_before
if stage ~= stage_before or shown_progress ~= progress_before or is_newly_probed then
  set_job_fields(job_id, 'stage', stage, 'progress', shown_progress)
  if is_newly_probed then
    redis.call('HSET', key('job', job_id), 'probed', probed)
    set_audio_length(job_id, cjson.decode(probed).duration_seconds)
  end
end

local work = work_of(job_id)
if work.working_ms then
  -- Estimated once here for all polls until the next heartbeat.
  local left_ms = remaining_ms(work, now_ms())
  redis.call('HSET', key('job', job_id), 'due_ms', left_ms and int(now_ms() + left_ms) or '')
end
return 1
