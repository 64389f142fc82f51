-- Record a finished upload, idle until a job uses it, unless its owner has no room left. -> ok | no_room
local upload, owner, size, max_bytes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if max_bytes > 0 and stored_bytes(owner) + size > max_bytes then return 'no_room' end
charge(owner, size)
redis.call('HSET', key('upload', upload), unpack(ARGV, 5))
redis.call('ZADD', key('uploads'), int(now_ms()), upload)
return 'ok'
