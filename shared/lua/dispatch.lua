-- Move jobs from the line into the window: as many as keep two published and unclaimed for each live slot.
-- -> a flat list engine, id, engine, id, ... whose messages the caller must send.
local alive_ms = tonumber(ARGV[1])
local bulk_share = tonumber(ARGV[2]) -- interactive jobs in a row before a waiting bulk one gets its turn
local now = now_ms()
local sent = {}

local function next_class(engine)
  local interactive = redis.call('ZCARD', key('turns', engine, 'interactive'))
  local bulk = redis.call('ZCARD', key('turns', engine, 'bulk'))
  if interactive == 0 and bulk == 0 then return nil end
  if interactive == 0 then return 'bulk' end
  if bulk == 0 then return 'interactive' end
  if redis.call('INCR', key('streak', engine)) > bulk_share then
    redis.call('SET', key('streak', engine), 0)
    return 'bulk'
  end
  return 'interactive'
end

local function next_job(engine, class)
  local owner = redis.call('ZRANGE', key('turns', engine, class), 0, 0)[1]
  local line = key('line', engine, class, owner)
  local id = redis.call('ZPOPMIN', line)[1]
  if redis.call('ZCARD', line) == 0 then
    redis.call('ZREM', key('turns', engine, class), owner)
  else
    redis.call('ZADD', key('turns', engine, class), redis.call('INCR', key('clock', engine, class)), owner)
  end
  return id
end

for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
  if redis.call('SISMEMBER', key('paused'), engine) == 0 then
    local window = 2 * live_slots(engine, now - alive_ms)
    local free = window - redis.call('ZCARD', key('published', engine))
    while free > 0 do
      local class = next_class(engine)
      if not class then break end
      local id = next_job(engine, class)
      if id and redis.call('EXISTS', key('job', id)) == 1 then
        redis.call('ZADD', key('published', engine), int(now), id)
        redis.call('HINCRBY', key('job', id), 'version', 1)
        -- Its place among the published: when a message is sent again it keeps it.
        redis.call('HSET', key('job', id), 'turn', redis.call('INCR', key('turn')))
        sent[#sent + 1] = engine
        sent[#sent + 1] = id
        free = free - 1
      end
    end
  end
end
return sent
