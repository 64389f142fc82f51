-- A worker tells that it lives and what it can do; silence takes its slots out of the reckoning.
local worker, slots, engines, descriptions, kept_slots = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local landlock, seccomp = ARGV[6], ARGV[7]
local now = now_ms()
redis.call('ZADD', key('workers'), int(now), worker)
redis.call('HSET', key('worker', worker), 'slots', slots, 'kept_slots', kept_slots, 'engines', engines, 'descriptions', descriptions,
  'landlock', landlock, 'seccomp', seccomp)
redis.call('PEXPIRE', key('worker', worker), 3600000)
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', int(now - 3600000))
return 1
