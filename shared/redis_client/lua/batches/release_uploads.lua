-- A batch that goes needs these uploads no longer. -> 1
local id, now = ARGV[1], int(now_ms())
for i = 2, #ARGV do
  local users = key('upload', ARGV[i], 'jobs')
  if redis.call('SREM', users, id) == 1 and redis.call('SCARD', users) == 0 then
    redis.call('ZADD', key('uploads'), now, ARGV[i])
  end
end
return 1
