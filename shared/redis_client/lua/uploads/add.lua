-- Record a finished upload, idle until a job uses it, unless there is no room left.
-- -> ok | no_room (of its owner's in storage) | records_full | memory_full
local upload, owner, size, max_bytes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if max_bytes > 0 and stored_bytes(owner) + size > max_bytes then return 'no_room' end
local refused = record_refusal(owner, tonumber(ARGV[5]), tonumber(ARGV[6]))
if refused then return refused end
charge(owner, size)
redis.call('HSET', key('upload', upload), unpack(ARGV, 7))
charge_upload(upload, owner)
redis.call('ZADD', key('uploads'), int(now_ms()), upload)
return 'ok'
