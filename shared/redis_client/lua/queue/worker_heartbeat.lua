-- Records that a worker is alive, what it can do, and what keeps it from it. A worker without heartbeats loses its
-- slots.
-- Arguments:
--   worker_id: text
--   slots: text, their number
--   engines: text, separated by commas
--   descriptions: text, of the engines as JSON
--   kept_slots: text, the number of slots that bulk jobs may not take
--   fault: text, '' for none
--   was_away: flag, whether Redis did not answer this worker until now, or has just started
--   landlock: text, the version that confines the children
--   seccomp: flag, whether seccomp confines the children
--   scratch_free_bytes: text, of the disk of its scratch folder, '' if unknown
--   scratch_size_bytes: text, likewise
-- Returns: 1
-- include lib/clock
-- include lib/keys

local FORGOTTEN_AFTER_MS = 3600000
local now = now_ms()
if was_away then redis.call('SET', key('away'), int(now)) end
redis.call('ZADD', key('workers'), int(now), worker_id)
redis.call('HSET', key('worker', worker_id), 'slots', slots, 'kept_slots', kept_slots, 'engines', engines,
  'descriptions', descriptions, 'fault', fault, 'landlock', landlock, 'seccomp', seccomp and '1' or '0',
  'scratch_free_bytes', scratch_free_bytes, 'scratch_size_bytes', scratch_size_bytes)
redis.call('PEXPIRE', key('worker', worker_id), FORGOTTEN_AFTER_MS)
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', int(now - FORGOTTEN_AFTER_MS))
return 1
