-- Move jobs from the line into the window, whose size for each class follows from the live slots: of interactive jobs two
-- for each slot, published and unclaimed; of bulk ones two for each slot that they may take, claimed ones included. So
-- every worker has a thread that no bulk job holds, and an interactive job is taken up at once.
-- -> a flat list engine, class, id, ... whose messages the caller must send.
local alive_ms = tonumber(ARGV[1])
local now = now_ms()
local sent = {}

local function next_job(engine, class)
  local party = redis.call('ZRANGE', key('turns', engine, class), 0, 0)[1]
  local line = key('line', engine, class, party)
  local id = redis.call('ZPOPMIN', line)[1]
  if redis.call('ZCARD', line) == 0 then
    redis.call('ZREM', key('turns', engine, class), party)
  else
    redis.call('ZADD', key('turns', engine, class), redis.call('INCR', key('clock', engine, class)), party)
  end
  return id
end

local function fill(engine, class, free)
  while free > 0 and redis.call('EXISTS', key('turns', engine, class)) == 1 do
    local id = next_job(engine, class)
    if id and redis.call('EXISTS', key('job', id)) == 1 then
      redis.call('ZADD', key('published', engine), int(now), id)
      if class == 'bulk' then redis.call('SADD', key('bulk', engine), id) end
      redis.call('HINCRBY', key('job', id), 'version', 1)
      -- Its place among the published: when a message is sent again it keeps it.
      redis.call('HSET', key('job', id), 'turn', redis.call('INCR', key('turn')))
      sent[#sent + 1] = engine
      sent[#sent + 1] = class
      sent[#sent + 1] = id
      free = free - 1
    end
  end
end

for _, engine in ipairs(redis.call('SMEMBERS', key('engines'))) do
  if redis.call('SISMEMBER', key('paused'), engine) == 0 then
    local published, bulk = key('published', engine), key('bulk', engine)
    local slots, for_bulk = live_slots(engine, now - alive_ms)
    local interactive = redis.call('ZCARD', published) - redis.call('ZINTERCARD', 2, published, bulk)
    fill(engine, 'interactive', 2 * slots - interactive)
    fill(engine, 'bulk', 2 * for_bulk - redis.call('SCARD', bulk))
  end
end
return sent
