-- Take a published job. -> fence, or nothing when there is nothing to take.
-- Said twice with the same token it is the same claim: the first answer may have got lost with the connection.
local id, worker, lease_ms, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local job = get(id, 'state', 'engine', 'progress', 'token', 'fence')
local state, engine = job[1], job[2]
if state == 'running' and token ~= '' and job[4] == token then return job[5] end
if state ~= 'queued' then return false end
-- A message may outlive its publication (a pause, a duplicate): only the published set counts.
if not redis.call('ZSCORE', key('published', engine), id) then return false end
local now = now_ms()
local fence = int(redis.call('INCR', key('fence')))
leave_line(id)
redis.call('ZADD', key('running'), int(now + lease_ms), id)
redis.call('HINCRBY', key('job', id), 'attempt', 1)
redis.call('HDEL', key('job', id), 'working_ms', 'due_ms', 'passed_on', 'waiting')
redis.call('HSET', key('job', id), 'token', token)
move(id, state, 'running', 'fence', fence, 'floor', job[3] or '0', 'worker', worker, 'started_ms', int(now), 'stage', 'fetch')
return fence
