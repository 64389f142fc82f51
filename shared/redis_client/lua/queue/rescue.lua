-- Mend what died: leases that ran out, retries that are due, messages that nobody claimed.
-- -> {leases rescued, jobs given up, retries due, leases rescued uncharged, engine, class, id, ... to be sent again}
local unclaimed_ms, max_losses, retention_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lease_ms, alive_ms, with_leases = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local limit = 200 -- bounds how long one run of this script can hold Redis
local now = now_ms()
local rescued, given_up, due, uncharged = 0, 0, 0, 0

-- When Redis was last away, for all that its workers know (worker_heartbeat.lua). Of a lease that was renewed before and not
-- since, nobody can tell whether its worker was lost or could not be heard: that costs no attempt.
local away_at = tonumber(redis.call('GET', key('away')) or '-inf')

local leases = {}
if with_leases then
  leases = redis.call('ZRANGEBYSCORE', key('running'), '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, limit)
end
for i = 1, #leases, 2 do
  local id, renewed_at = leases[i], leases[i + 1] - lease_ms
  local job = get(id, 'state', 'attempt', 'created_ms')
  redis.call('ZREM', key('running'), id)
  if job[1] == 'running' and renewed_at <= away_at then
    redis.call('HINCRBY', key('job', id), 'attempt', -1)
    move(id, 'running', 'queued', 'stage', '', 'fence', '0')
    enter_line(id, job[3])
    uncharged = uncharged + 1
  elseif job[1] == 'running' then
    local err = cjson.encode({code = 'worker_lost', attempt = tonumber(job[2]), at_ms = now,
      message = 'The worker stopped sending heartbeats.', retryable = true})
    note_error(id, err)
    if redis.call('HINCRBY', key('job', id), 'losses', 1) >= max_losses then
      redis.call('HINCRBY', key('failures'), 'worker_lost', 1)
      settle(id, 'running', 'failed', retention_ms, 'error', err, 'fence', '0')
      given_up = given_up + 1
    else
      move(id, 'running', 'queued', 'stage', '', 'fence', '0')
      enter_line(id, job[3])
      rescued = rescued + 1
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', int(now), 'LIMIT', 0, limit)) do
  redis.call('ZREM', key('delayed'), id)
  if get(id, 'state')[1] == 'queued' then
    enter_line(id, get(id, 'created_ms')[1])
    due = due + 1
  end
end

local answer = {rescued, given_up, due, uncharged}
for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
  local published = key('published', engine)
  local late = {}
  -- While every worker waits for the storage none claims, and nothing is lost.
  if live_slots(engine, now - alive_ms) > 0 then
    late = redis.call('ZRANGEBYSCORE', published, '-inf', int(now - unclaimed_ms), 'LIMIT', 0, limit)
  end
  for _, id in ipairs(late) do
    redis.call('ZADD', published, int(now), id)
    answer[#answer + 1] = engine
    answer[#answer + 1] = get(id, 'class')[1]
    answer[#answer + 1] = id
  end
end
return answer
