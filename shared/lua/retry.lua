-- Put an ended job back in line by hand, with a clean slate.
-- -> {state before, or '', or batch (its own matter), or owner_full | audio_spent; the record} or {full, ms until a place is free}
local id, max_queued = ARGV[1], tonumber(ARGV[2])
local max_queued_by_owner, max_audio_ms, alive_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local job = get(id, 'state', 'owner', 'engine', 'batch')
local state = job[1]
if job[4] then return {'batch', ''} end
if state == 'failed' or state == 'canceled' then
  if tonumber(redis.call('HGET', key('count'), 'queued') or 0) >= max_queued then
    return {'full', int(step_ms(job[3], now_ms() - alive_ms))}
  end
  local refused = refusal(job[2], max_queued_by_owner, max_audio_ms)
  if refused then return {refused, {}} end
  redis.call('ZREM', key('settled'), id)
  redis.call('HDEL', key('job', id), 'finished_ms', 'expires_ms', 'error', 'attempt_errors', 'started_ms', 'waiting', 'waits')
  move(id, state, 'queued', 'losses', 0, 'attempt', 0, 'progress', 0, 'stage', '')
  enter_line(id, now_ms())
end
return {state or '', record_of(id, now_ms() - alive_ms)}
