-- Tie a key to what its request asks for. -> 1, or 0 when it is tied to something else
local name, fingerprint = ARGV[1], ARGV[2]
redis.call('HSETNX', key('idempotency', name), 'fingerprint', fingerprint)
if redis.call('HGET', key('idempotency', name), 'fingerprint') ~= fingerprint then return 0 end
return 1
