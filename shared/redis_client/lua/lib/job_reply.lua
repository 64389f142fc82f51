-- A job's record as clients get it, with its place in line and the time left reckoned at this moment. Follows time_left.lua.

-- What a client gets to see of a record. Not the report: it is the longest field, and read from storage.
local SHOWN = {'schema', 'state', 'request', 'version', 'created_ms', 'stage', 'progress', 'attempt', 'losses', 'fence',
  'started_ms', 'finished_ms', 'expires_ms', 'outputs', 'probed', 'error', 'attempt_errors', 'cached', 'batch', 'content'}

-- The record as one JSON object, which its reader takes apart far sooner than a list of Redis's.
local function shown_json(id)
  local values, record = get(id, unpack(SHOWN)), {}
  for i, name in ipairs(SHOWN) do record[name] = values[i] or nil end
  return cjson.encode(record)
end

-- What keeps every live worker from an engine's jobs, if any lives.
local function fault_of_all(engine, since_ms)
  local found = ''
  for _, worker in ipairs(live_workers(since_ms)) do
    local slots, _, fault = slots_of(worker, engine)
    if slots > 0 then return '' end
    found = fault or found
  end
  return found
end

-- Why a job waits for the storage; '' where it does not.
local function waits_because(id, state, engine, since_ms)
  local job = get(id, 'waiting', 'stage', 'worker')
  if state == 'queued' then return job[1] and job[1] ~= '' and job[1] or fault_of_all(engine, since_ms) end
  if job[2] ~= 'upload' or not job[3] then return '' end
  return redis.call('HGET', key('worker', job[3]), 'fault') or ''
end

-- What moves without a change of the record: the place in line, milliseconds left, and why it waits; each may be empty.
local function standing(id, state, since_ms)
  if state ~= 'queued' and state ~= 'running' then return '  ' end
  local job, position, left_ms = work_of(id), nil, nil
  job.fence = tonumber(job.fence)
  if state == 'queued' then
    local published, in_line
    local party = get(id, 'batch', 'owner')
    position, published, in_line = place_in_line(id, job.engine, job.class, party[1] or party[2])
    job.fence = nil
    if position then left_ms = wait_and_run_ms(id, job, since_ms, published, in_line) end
  elseif job.working_ms then
    local due_ms = tonumber(job.due_ms or nil)
    left_ms = due_ms and math.max(0, due_ms - now_ms())
  else
    left_ms = wait_and_run_ms(id, job, since_ms, {}, {})
  end
  local why = left_ms and state == 'queued' and '' or waits_because(id, state, job.engine, since_ms)
  -- On one line, whatever the storage said.
  why = string.gsub(why, '%c', ' ')
  return (position and int(position) or '') .. ' ' .. (left_ms and int(left_ms) or '') .. ' ' .. why
end

-- A line with the job's standing, then the record, unless its reader has read this version of it: most polls find a job
-- as it was. '' when there is no such job.
local function record_of(id, since_ms, known_version)
  local job = get(id, 'state', 'version')
  if not job[1] then return '' end
  local line = standing(id, job[1], since_ms)
  if job[2] == known_version then return line end
  return line .. '\n' .. shown_json(id)
end

-- Milliseconds until the line of an engine has moved by one, as far as can be told; 0 when it cannot.
local function step_ms(engine, since_ms)
  local slots = live_slots(engine, since_ms)
  if slots == 0 then return 0 end
  return tonumber(redis.call('GET', key('pace', engine)) or 0) / slots
end
