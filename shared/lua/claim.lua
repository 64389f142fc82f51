-- Take a published job, or one whose lease ran out. -> fence, or nothing when there is nothing to take.
local id, worker, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = get(id, 'state', 'engine', 'progress')
local state, engine = job[1], job[2]
if state ~= 'queued' then return false end
-- A message may outlive its publication (a pause, a duplicate): only the published set counts.
if not redis.call('ZSCORE', key('published', engine), id) then return false end
local now = now_ms()
local fence = int(redis.call('INCR', key('fence')))
leave_line(id)
redis.call('ZADD', key('running'), int(now + lease_ms), id)
redis.call('HINCRBY', key('job', id), 'attempt', 1)
redis.call('HDEL', key('job', id), 'working_ms', 'due_ms', 'passed_on')
move(id, state, 'running', 'fence', fence, 'floor', job[3] or '0', 'worker', worker, 'started_ms', int(now), 'stage', 'fetch')
return fence
