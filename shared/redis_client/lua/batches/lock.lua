-- Takes a batch's lock, keeps it, or releases it. It is released by itself after the lease.
-- Arguments:
--   batch_id: text
--   token: text, of the caller
--   lease_ms: number, 0 releases the lock
-- Returns: 1, or 0 if another process holds the lock
-- include lib/keys

local lock = key('lock', 'batch', batch_id)
local holder = redis.call('GET', lock)
if holder and holder ~= token then return 0 end
if lease_ms == 0 then
  redis.call('DEL', lock)
else
  redis.call('SET', lock, token, 'PX', int(lease_ms))
end
return 1
