-- A job's record as clients get it, with its place in line and the time left reckoned at this moment. Follows keys.lua.

-- The slots of live workers that have an engine, and how many of them bulk jobs may take.
local function live_slots(engine, since_ms)
  local slots, for_bulk = 0, 0
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), int(since_ms), '+inf')) do
    local w = redis.call('HMGET', key('worker', worker), 'slots', 'engines', 'kept_slots')
    if w[2] and string.find(',' .. w[2] .. ',', ',' .. engine .. ',', 1, true) then
      slots = slots + w[1]
      for_bulk = for_bulk + w[1] - (w[3] or 0)
    end
  end
  return slots, for_bulk
end

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
  local position = 1
  if redis.call('ZSCORE', key('published', engine), id) then
    local turn = tonumber(get(id, 'turn')[1] or 0)
    for _, other in ipairs(redis.call('ZRANGE', key('published', engine), 0, 63)) do
      local job = get(other, 'turn', 'class')
      local is_before = tonumber(job[1] or 0) < turn
      if (job[2] == class and is_before) or (job[2] == 'interactive' and class == 'bulk') then
        position = position + 1
      end
    end
    return position
  end
  local rank = redis.call('ZRANK', key('line', engine, class, owner), id)
  if not rank then return nil end
  position = 1 + ahead_in_class(engine, class, owner, rank) + redis.call('ZCARD', key('published', engine))
  if class == 'interactive' then
    -- Bulk jobs that are published are overtaken.
    position = position - redis.call('ZINTERCARD', 2, key('published', engine), key('bulk', engine))
  end
  if class == 'bulk' then
    for _, other in ipairs(redis.call('ZRANGE', key('turns', engine, 'interactive'), 0, 199)) do
      position = position + redis.call('ZCARD', key('line', engine, 'interactive', other))
    end
  end
  return position
end

-- What runs of an engine before a job of a class: how many jobs, their work still to do (in jobs), and the pace that they
-- show (ms, or nil). With a fence, only what was claimed before: workers claim more jobs than they have slots, to fetch
-- them meanwhile; an interactive job overtakes bulk ones that only have been fetched.
local function under_way(engine, class, fence)
  local sampled = redis.call('ZRANGE', key('running'), 0, 63) -- bounds what one poll costs
  local count, work, shown = 0, 0, nil
  for _, id in ipairs(sampled) do
    local job = get(id, 'engine', 'progress', 'working_ms', 'fence', 'class')
    local is_overtaken = class == 'interactive' and job[5] == 'bulk' and not job[3]
    if job[1] == engine and not is_overtaken and (not fence or tonumber(job[4] or 0) < fence) then
      local progress = job[3] and tonumber(job[2]) or 0
      count, work = count + 1, work + 1 - progress
      if progress >= 0.1 then shown = (now_ms() - job[3]) / progress end
    end
  end
  local scale = math.max(1, redis.call('ZCARD', key('running')) / 64)
  return count * scale, work * scale, shown
end

-- Milliseconds until a job has ended that still has to wait for `jobs` others with so much work in all.
local function wait_and_run(pace, slots, jobs, work)
  if jobs < slots then return pace end
  return pace * (work / slots + 1)
end

local function time_left_ms(engine, since_ms, job, position)
  local pace = tonumber(redis.call('GET', key('pace', engine)) or 0)
  if job.working_ms then
    local progress, elapsed = job.progress, now_ms() - job.working_ms
    if pace == 0 then return progress >= 0.05 and elapsed * (1 - progress) / progress or nil end
    -- Early progress tells little, since stages differ; what other jobs took counts for more until half is done.
    local own = math.min(1, 2 * progress)
    return (1 - progress) * ((1 - own) * pace + own * elapsed / math.max(progress, 0.01))
  end
  local count, work, shown = under_way(engine, job.class, job.fence)
  -- Until a first job has ended, those that run tell how fast it goes.
  if pace == 0 then pace = shown or 0 end
  local slots = live_slots(engine, since_ms)
  if pace == 0 or slots == 0 then return nil end
  return wait_and_run(pace, slots, count + position - 1, work + position - 1)
end

-- What a client gets to see of a record. Not the report: it is the longest field, and read from storage.
local SHOWN = {'state', 'request', 'version', 'created_ms', 'stage', 'progress', 'attempt', 'losses', 'fence',
  'started_ms', 'finished_ms', 'expires_ms', 'outputs', 'probed', 'error', 'attempt_errors', 'cached', 'batch', 'content'}

-- The record as one JSON object, which its reader takes apart far sooner than a list of Redis's.
local function shown_json(id)
  local values, record = get(id, unpack(SHOWN)), {}
  for i, name in ipairs(SHOWN) do record[name] = values[i] or nil end
  return cjson.encode(record)
end

-- What moves without a change of the record: the place in line, and milliseconds left; each may be empty.
local function standing(id, job, since_ms)
  if job.state == 'queued' then
    local position = place_in_line(id, job.engine, job.class, job.batch or job.owner)
    if not position then return ' ' end
    local left_ms = time_left_ms(job.engine, since_ms, {progress = 0, class = job.class}, position)
    return int(position) .. ' ' .. (left_ms and int(left_ms) or '')
  elseif job.state == 'running' then
    local running = {working_ms = tonumber(job.working_ms), progress = tonumber(job.progress),
      fence = tonumber(job.fence), class = job.class}
    local left_ms = time_left_ms(job.engine, since_ms, running, 1)
    return ' ' .. (left_ms and int(left_ms) or '')
  end
  return ' '
end

-- A line with the job's standing, then the record, unless its reader has read this version of it: most polls find a job
-- as it was. '' when there is no such job.
local function record_of(id, since_ms, known_version)
  local job = {}
  job.state, job.version, job.engine, job.class, job.owner, job.batch, job.working_ms, job.progress, job.fence = unpack(
    get(id, 'state', 'version', 'engine', 'class', 'owner', 'batch', 'working_ms', 'progress', 'fence'))
  if not job.state then return '' end
  local line = standing(id, job, since_ms)
  if job.version == known_version then return line end
  return line .. '\n' .. shown_json(id)
end

-- Milliseconds until the line of an engine has moved by one, as far as can be told; 0 when it cannot.
local function step_ms(engine, since_ms)
  local slots = live_slots(engine, since_ms)
  if slots == 0 then return 0 end
  return tonumber(redis.call('GET', key('pace', engine)) or 0) / slots
end
