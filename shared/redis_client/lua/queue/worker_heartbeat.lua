-- A worker tells that it lives and what it can do, or what keeps it from that; silence takes its slots out of the
-- reckoning. `was_away`: Redis did not answer it until now, or has just started.
local worker, slots, engines, descriptions, kept_slots = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fault, was_away, landlock, seccomp = ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9]
local now = now_ms()
if was_away then redis.call('SET', key('away'), int(now)) end
redis.call('ZADD', key('workers'), int(now), worker)
redis.call('HSET', key('worker', worker), 'slots', slots, 'kept_slots', kept_slots, 'engines', engines, 'descriptions', descriptions,
  'fault', fault, 'landlock', landlock, 'seccomp', seccomp)
redis.call('PEXPIRE', key('worker', worker), 3600000)
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', int(now - 3600000))
return 1
