-- Take a batch's lock, or keep it, or (0 ms) let it go; it lets go by itself. -> 1 | 0
local lock, token, lease_ms = key('lock', 'batch', ARGV[1]), ARGV[2], tonumber(ARGV[3])
local holder = redis.call('GET', lock)
if holder and holder ~= token then return 0 end
if lease_ms == 0 then
  redis.call('DEL', lock)
else
  redis.call('SET', lock, token, 'PX', int(lease_ms))
end
return 1
