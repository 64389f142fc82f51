-- Where a job stands in line, and how long it will be. Follows work_statistics.lua.
-- Owns the order in which jobs are served, as it is told to clients: what runs, what is claimed, published, in line; and
-- plays through who gets which slot when. All that it looks at is bounded, however long the line.

local SAMPLED = 32 -- jobs of the line whose lengths are looked at; those behind them are taken to be like them
local MOST_SLOTS = 64 -- more are reckoned with in groups

-- Parties that are served before a job, and how many jobs of each: owners take turns, so each other owner is served about
-- as often as ours until then. -> list of {line, jobs}
local function lines_ahead(engine, class, party, rank)
  local ours = tonumber(redis.call('ZSCORE', key('turns', engine, class), party) or 0)
  local ahead = {{key('line', engine, class, party), rank}}
  local turns = redis.call('ZRANGE', key('turns', engine, class), 0, 199, 'WITHSCORES')
  for i = 1, #turns, 2 do
    if turns[i] ~= party then
      local served = rank
      if tonumber(turns[i + 1]) < ours then served = rank + 1 end
      local line = key('line', engine, class, turns[i])
      ahead[#ahead + 1] = {line, math.min(redis.call('ZCARD', line), served)}
    end
  end
  if class == 'bulk' then
    for _, other in ipairs(redis.call('ZRANGE', key('turns', engine, 'interactive'), 0, 199)) do
      local line = key('line', engine, 'interactive', other)
      ahead[#ahead + 1] = {line, redis.call('ZCARD', line)}
    end
  end
  return ahead
end

-- Published jobs that are taken up before one with this turn (nil: before all that are in line). -> ids
local function published_ahead(engine, class, turn)
  local ahead = {}
  for _, other in ipairs(redis.call('ZRANGE', key('published', engine), 0, 199)) do
    local job = get(other, 'turn', 'class')
    local is_before = not turn or tonumber(job[1] or 0) < turn
    if (job[2] == class and is_before) or (job[2] == 'interactive' and class == 'bulk') then ahead[#ahead + 1] = other end
  end
  return ahead
end

-- -> position, ids of published jobs ahead, lines ahead; nothing for a job that waits for its retry
local function place_in_line(id, engine, class, party)
  if redis.call('ZSCORE', key('published', engine), id) then
    local ahead = published_ahead(engine, class, tonumber(get(id, 'turn')[1] or 0))
    return #ahead + 1, ahead, {}
  end
  local rank = redis.call('ZRANK', key('line', engine, class, party), id)
  if not rank then return nil end
  local published, in_line = published_ahead(engine, class, nil), lines_ahead(engine, class, party, rank)
  local number = redis.call('ZCARD', key('published', engine))
  if class == 'interactive' then
    -- Bulk jobs that are published are overtaken.
    number = number - redis.call('ZINTERCARD', 2, key('published', engine), key('bulk', engine))
  end
  -- Those that were not looked at are taken to be like the others.
  if number > #published then in_line[#in_line + 1] = {key('published', engine), number - #published} end
  local position = 1 + #published
  for _, line in ipairs(in_line) do position = position + line[2] end
  return position, published, in_line
end

-- What of an engine's jobs is worked on, and what is claimed and waits for a slot before a job does: workers claim more
-- than they have slots, to fetch them meanwhile, and interactive jobs overtake bulk ones there. `fence` is that of a
-- claimed job (nil: it is in line). -> list of milliseconds left, list of jobs, {work, length} of one that shows its pace
local function under_way(id, engine, class, fence, now)
  local working, claimed, shown = {}, {}, nil
  for _, other in ipairs(redis.call('ZRANGE', key('running'), 0, 63)) do
    local job = other ~= id and work_of(other) or {}
    if job.engine == engine and job.working_ms then
      working[#working + 1] = math.max(0, (tonumber(job.due_ms) or now) - now)
      local done = share_done(engine, job.kind, tonumber(job.progress or 0))
      if done >= TELLING then shown = {(now - job.working_ms) / done, tonumber(job.audio_ms)} end
    elseif job.engine == engine then
      local is_before = not fence or tonumber(job.fence or 0) < fence
      if (job.class == class and is_before) or (job.class == 'interactive' and class == 'bulk') then
        claimed[#claimed + 1] = job
      end
    end
  end
  return working, claimed, shown
end

-- The slot that gets free first takes a job. -> when that ends
local function serve(slots, ms)
  local first = 1
  for i = 2, #slots do
    if slots[i] < slots[first] then first = i end
  end
  slots[first] = slots[first] + ms
  return slots[first]
end

-- Milliseconds until a job has ended for which others are served before: `published` are ids, `in_line` pairs of a line
-- and how many of it. -> nil where nobody can tell
local function wait_and_run_ms(id, job, since_ms, published, in_line)
  local now = now_ms()
  local number, for_bulk = live_slots(job.engine, since_ms)
  if job.class == 'bulk' then number = math.max(for_bulk, math.min(number, 1)) end
  if number == 0 then return nil end
  local working, claimed, shown = under_way(id, job.engine, job.class, job.fence, now)
  local function expected(other)
    local learnt = expected_ms(job.engine, other.kind, other.audio_ms)
    if learnt or not shown then return learnt end
    -- Until a first job has ended, one that runs tells how fast it goes.
    local longer = shown[2] and other.audio_ms and other.audio_ms / math.max(1, shown[2]) or 1
    return shown[1] * (1 - GROWS + GROWS * longer)
  end
  local own = expected(job)
  if not own then return nil end

  local group, slots = math.max(1, number / MOST_SLOTS), {}
  for i = 1, math.min(number, MOST_SLOTS) do slots[i] = 0 end
  for _, left in ipairs(working) do serve(slots, left) end
  for _, other in ipairs(claimed) do serve(slots, expected(other) / group) end
  for _, other in ipairs(published) do serve(slots, expected(work_of(other)) / group) end
  local looked_at, rest, typical = 0, 0, own
  for _, line in ipairs(in_line) do
    local seen, ms = math.min(line[2], SAMPLED - looked_at), 0
    for _, other in ipairs(seen > 0 and redis.call('ZRANGE', line[1], 0, seen - 1) or {}) do
      local work = expected(work_of(other))
      serve(slots, work / group)
      ms = ms + work
    end
    if seen > 0 then typical = ms / seen end
    looked_at, rest = looked_at + seen, rest + (line[2] - seen) * typical
  end
  return serve(slots, 0) + rest / number + own
end
