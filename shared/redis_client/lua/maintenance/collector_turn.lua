-- Take the turn to collect, unless somebody has it; it ends by itself. -> 1 | 0
return redis.call('SET', key('lock', 'collector'), '1', 'NX', 'PX', ARGV[1]) and 1 or 0
