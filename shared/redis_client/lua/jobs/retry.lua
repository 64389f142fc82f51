-- Put an ended job back in line by hand, with a clean slate.
-- -> {state before, or '', or batch (its own matter), or what refusal says; the record} or {full, ms until a place is free}
local id, max_queued = ARGV[1], tonumber(ARGV[2])
local limits, alive_ms = {}, tonumber(ARGV[8])
for i = 3, 7 do limits[#limits + 1] = tonumber(ARGV[i]) end
local job = get(id, 'state', 'owner', 'engine', 'batch', 'request')
local state = job[1]
if job[4] then return {'batch', ''} end
if state == 'failed' or state == 'canceled' then
  if tonumber(redis.call('HGET', key('count'), 'queued') or 0) >= max_queued then
    return {'full', int(step_ms(job[3], now_ms() - alive_ms))}
  end
  local refused = refusal(job[2], unpack(limits))
  if refused then return {refused, {}} end
  redis.call('ZREM', key('settled'), id)
  -- It will have another end to tell.
  if names_webhook(job[5]) then charge_job(id, WEBHOOK_BYTES) end
  redis.call('HDEL', key('job', id), 'finished_ms', 'expires_ms', 'error', 'attempt_errors', 'started_ms', 'waiting', 'waits')
  move(id, state, 'queued', 'losses', 0, 'attempt', 0, 'progress', 0, 'stage', '')
  enter_line(id, now_ms())
end
return {state or '', record_of(id, now_ms() - alive_ms)}
