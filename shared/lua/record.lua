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

-- A flat list of the record's fields and values; empty when there is no such job.
local function record_of(id, since_ms)
  local record = redis.call('HGETALL', key('job', id))
  if #record == 0 then return record end
  local job = get(id, 'state', 'engine', 'class', 'owner', 'working_ms', 'progress')
  local state, engine = job[1], job[2]
  local pace = tonumber(redis.call('GET', key('pace', engine)) or 0)

  local function add(name, value)
    record[#record + 1] = name
    record[#record + 1] = value
  end

  if state == 'queued' then
    local position = place_in_line(id, engine, job[3], job[4])
    if position then
      add('queue_position', int(position))
      local slots = live_slots(engine, since_ms)
      if pace > 0 and slots > 0 then
        add('eta_seconds', tostring(pace / 1000 * (0.5 + math.ceil(position / slots))))
      end
    end
  elseif state == 'running' then
    local elapsed, progress = (now_ms() - (job[5] or now_ms())) / 1000, tonumber(job[6])
    if job[5] and progress >= 0.05 then
      add('eta_seconds', tostring(elapsed * (1 - progress) / progress))
    elseif pace > 0 then
      add('eta_seconds', tostring(math.max(pace / 1000 - elapsed, 1)))
    end
  end
  return record
end
