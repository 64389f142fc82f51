-- Renew the lease and tell how far the work is. -> 1, or 0 when the claim is no longer held.
local id, fence, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stage, progress, probed = ARGV[4], tonumber(ARGV[5]), ARGV[6]
if not holds(id, fence) then return 0 end
redis.call('ZADD', key('running'), 'XX', int(now_ms() + lease_ms), id)
local before = get(id, 'stage', 'progress', 'probed')
-- The time left is reckoned from when the work began: a job may have waited for its turn after its fetch.
if before[1] == 'fetch' and stage ~= 'fetch' then redis.call('HSET', key('job', id), 'working_ms', int(now_ms())) end
-- A second attempt starts over, but what a client sees of it never falls.
progress = math.max(progress, tonumber(before[2]) or 0)
local shown = string.format('%.4f', progress)
if stage ~= before[1] or shown ~= before[2] or (probed ~= '' and probed ~= before[3]) then
  set(id, 'stage', stage, 'progress', shown)
  if probed ~= '' then redis.call('HSET', key('job', id), 'probed', probed) end
  if probed ~= '' and probed ~= before[3] then note_length(id, cjson.decode(probed).duration_seconds) end
end
local job = work_of(id)
if job.working_ms then
  -- Reckoned here, once for all polls until the next beat.
  local left_ms = remaining_ms(job, now_ms())
  redis.call('HSET', key('job', id), 'due_ms', left_ms and int(now_ms() + left_ms) or '')
end
return 1
