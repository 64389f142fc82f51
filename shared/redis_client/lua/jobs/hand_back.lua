-- Give a claim back unfinished; no attempt is charged. -> 1 | 0
-- The job returns to its place in line. With a reason it is this job alone that the storage does not serve: it waits longer
-- each time, so that it holds up no other, and the reason is shown.
local id, fence, reason, pause_ms, most_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if get(id, 'handed_back')[1] == fence then return 1 end
if not holds(id, fence) then return 0 end
redis.call('ZREM', key('running'), id)
redis.call('HINCRBY', key('job', id), 'attempt', -1)
redis.call('HSET', key('job', id), 'handed_back', fence)
move(id, 'running', 'queued', 'stage', '', 'fence', '0', 'waiting', reason)
if reason == '' then
  enter_line(id, get(id, 'created_ms')[1])
else
  leave_bulk(id)
  release_twins(id)
  local waits = math.min(redis.call('HINCRBY', key('job', id), 'waits', 1), 30)
  redis.call('ZADD', key('delayed'), int(now_ms() + math.min(most_ms, pause_ms * 2 ^ (waits - 1))), id)
end
return 1
