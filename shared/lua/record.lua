-- Follows common.lua: a job's record as clients get it, with its place in line and the time left reckoned at this moment.

-- Jobs ahead within the class: owners take turns, so each other owner is served about as often as ours until then.
local function ahead_in_class(engine, class, owner, rank)
  local ours = tonumber(redis.call('ZSCORE', key('turns', engine, class), owner) or 0)
  local ahead = rank
  local turns = redis.call('ZRANGE', key('turns', engine, class), 0, 199, 'WITHSCORES')
  for i = 1, #turns, 2 do
    if turns[i] ~= owner then
      local served = rank
      if tonumber(turns[i + 1]) < ours then served = rank + 1 end
      ahead = ahead + math.min(redis.call('ZCARD', key('line', engine, class, turns[i])), served)
    end
  end
  return ahead
end

local function place_in_line(id, engine, class, owner)
  local position = redis.call('ZRANK', key('published', engine), id)
  if position then return position + 1 end
  local rank = redis.call('ZRANK', key('line', engine, class, owner), id)
  if not rank then return nil end
  position = 1 + redis.call('ZCARD', key('published', engine)) + ahead_in_class(engine, class, owner, rank)
  if class == 'bulk' then
    for _, other in ipairs(redis.call('ZRANGE', key('turns', engine, 'interactive'), 0, 199)) do
      position = position + redis.call('ZCARD', key('line', engine, 'interactive', other))
    end
  end
  return position
end

-- What a client gets to see of a record, and what is reckoned with here. Not the report: it is the longest field, and
-- read from storage.
local SHOWN = {'state', 'request', 'version', 'created_ms', 'stage', 'progress', 'attempt', 'losses', 'fence',
  'started_ms', 'finished_ms', 'expires_ms', 'outputs', 'probed', 'error', 'attempt_errors', 'cached',
  'engine', 'class', 'owner', 'working_ms'}

-- The record as one JSON object, which its reader takes apart far sooner than a list of Redis's; '' when there is no such
-- job.
local function record_of(id, since_ms)
  local values = redis.call('HMGET', key('job', id), unpack(SHOWN))
  if not values[1] then return '' end
  local record = {}
  for i, name in ipairs(SHOWN) do record[name] = values[i] or nil end
  local state, engine = record.state, record.engine
  if state ~= 'queued' and state ~= 'running' then return cjson.encode(record) end
  local pace = tonumber(redis.call('GET', key('pace', engine)) or 0)

  if state == 'queued' then
    local position = place_in_line(id, engine, record.class, record.owner)
    if position then
      record.queue_position = int(position)
      local slots = live_slots(engine, since_ms)
      if pace > 0 and slots > 0 then
        record.eta_seconds = tostring(pace / 1000 * (0.5 + math.ceil(position / slots)))
      end
    end
  else
    local now, progress = now_ms(), tonumber(record.progress)
    local elapsed = (now - (record.working_ms or now)) / 1000
    if record.working_ms and progress >= 0.05 then
      record.eta_seconds = tostring(elapsed * (1 - progress) / progress)
    elseif pace > 0 then
      record.eta_seconds = tostring(math.max(pace / 1000 - elapsed, 1))
    end
  end
  return cjson.encode(record)
end
