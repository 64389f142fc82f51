-- Grants permits for requests of an API key in this minute.
-- Arguments:
--   key_id: text
--   limit: number, of requests per minute
--   wanted: number, of permits
-- Returns: {permits granted, permits granted in this minute by all, milliseconds left of the minute}
-- include lib/clock
-- include lib/keys

local MINUTE_MS = 60000
local now = now_ms()
local permits = key('permits', key_id, int(math.floor(now / MINUTE_MS)))
local before = tonumber(redis.call('GET', permits) or 0)
local granted = math.max(0, math.min(wanted, limit - before))
if granted > 0 then
  redis.call('INCRBY', permits, int(granted))
  redis.call('PEXPIRE', permits, 2 * MINUTE_MS)
end
return {int(granted), int(before + granted), int(MINUTE_MS - now % MINUTE_MS)}
