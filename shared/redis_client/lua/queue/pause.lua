-- Stop an engine's queue: what was published and not claimed goes back to the front of its line.
local engine = ARGV[1]
redis.call('SADD', key('paused'), engine)
for _, id in ipairs(redis.call('ZRANGE', key('published', engine), 0, -1)) do
  redis.call('ZREM', key('published', engine), id)
  enter_line(id, get(id, 'created_ms')[1])
end
return 1
