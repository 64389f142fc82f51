-- A published job whose message came to a worker that can do nothing with it now: back to its place in line. -> 1 | 0
local id = ARGV[1]
local job = get(id, 'state', 'engine', 'created_ms')
if job[1] ~= 'queued' or redis.call('ZREM', key('published', job[2]), id) == 0 then return 0 end
enter_line(id, job[3])
set(id, 'stage', '')
return 1
