-- Give a claim back unfinished (the worker stops): first in its line again, and no attempt charged. -> 1 | 0
local id, fence = ARGV[1], ARGV[2]
if not holds(id, fence) then return 0 end
redis.call('ZREM', key('running'), id)
redis.call('HINCRBY', key('job', id), 'attempt', -1)
move(id, 'running', 'queued', 'stage', '', 'fence', '0')
enter_line(id, get(id, 'created_ms')[1])
return 1
