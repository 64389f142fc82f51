-- Say that a batch which is about to be restored needs these uploads. -> 1
for i = 2, #ARGV do
  if redis.call('EXISTS', key('upload', ARGV[i])) == 1 then
    redis.call('SADD', key('upload', ARGV[i], 'jobs'), ARGV[1])
    redis.call('ZREM', key('uploads'), ARGV[i])
  end
end
return 1
