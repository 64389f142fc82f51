-- Hand out permits for requests in this minute. -> {granted, handed out in all, milliseconds left of the minute}
local caller, limit, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local name = key('permits', caller, int(math.floor(now / 60000)))
local before = tonumber(redis.call('GET', name) or 0)
local granted = math.max(0, math.min(wanted, limit - before))
if granted > 0 then
  redis.call('INCRBY', name, int(granted))
  redis.call('PEXPIRE', name, 120000)
end
return {int(granted), int(before + granted), int(60000 - now % 60000)}
