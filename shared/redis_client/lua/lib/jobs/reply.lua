-- A job as clients get it: its record, its position in the queue and the time left at this moment.
-- include lib/estimates/time_left

-- The report is missing here, because it is the longest field; it is read from the storage.
local REPLY_FIELDS = {'schema', 'state', 'request', 'version', 'created_ms', 'stage', 'progress', 'attempt', 'losses',
  'fence', 'started_ms', 'finished_ms', 'expires_ms', 'outputs', 'probed', 'error', 'attempt_errors', 'cached', 'batch',
  'content', 'awaits', 'source'}

-- Returns the record as one JSON object, which Python parses faster than a list of replies.
local function record_json(job_id)
  local record, values = {}, redis.call('HMGET', key('job', job_id), unpack(REPLY_FIELDS))
  for i, field in ipairs(REPLY_FIELDS) do record[field] = values[i] or nil end
  return cjson.encode(record)
end

-- Returns what keeps all live workers from an engine's jobs: 'engine' if none of them has it, 'storage' and the fault
-- if the storage serves none of those that have it, '' if one has slots.
local function hindrance_of_all_workers(engine, since_ms)
  local found = 'engine'
  for _, worker_id in ipairs(live_workers(since_ms)) do
    local slots, _, fault = slots_of(worker_id, engine)
    if slots > 0 then return '' end
    if fault then found = 'storage ' .. fault end
  end
  return found
end

-- Returns what a job waits for, and why: 'storage ' and its fault, 'engine', or '' if it waits for neither.
local function hindrance_of(job_id, state, engine, since_ms)
  local reason, stage, worker_id = job_fields(job_id, 'waiting', 'stage', 'worker')
  if state == 'queued' then
    if reason and reason ~= '' then return 'storage ' .. reason end
    return hindrance_of_all_workers(engine, since_ms)
  end
  local fault = stage == 'upload' and worker_id and redis.call('HGET', key('worker', worker_id), 'fault')
  return fault and fault ~= '' and 'storage ' .. fault or ''
end

-- Returns the position in the queue of a queued job and the milliseconds until it has ended; either may be nil.
local function estimate_queued(job_id, work, since_ms)
  local owner, batch_id = job_fields(job_id, 'owner', 'batch')
  local position, published, queues = queue_position(job_id, work.engine, work.class, batch_id or owner)
  if not position then return nil, nil end
  return position, wait_and_run_ms(job_id, work, nil, since_ms, published, queues)
end

-- Returns the milliseconds until a running job has ended, or nil.
local function estimate_running(job_id, work, since_ms)
  if not work.working_ms then return wait_and_run_ms(job_id, work, tonumber(work.fence), since_ms, {}, {}) end
  local due_ms = tonumber(work.due_ms)
  return due_ms and math.max(0, due_ms - now_ms())
end

-- Returns the values that change without the record, on one line: the position in the queue, the milliseconds left,
-- and what the job waits for. Each may be empty.
local function status_line(job_id, state, since_ms)
  if state ~= 'queued' and state ~= 'running' then return '  ' end
  local work = work_of(job_id)
  local position, left_ms
  if state == 'queued' then
    position, left_ms = estimate_queued(job_id, work, since_ms)
  else
    left_ms = estimate_running(job_id, work, since_ms)
  end
  local hindrance = left_ms and state == 'queued' and '' or hindrance_of(job_id, state, work.engine, since_ms)
  -- The storage's words may contain line breaks.
  hindrance = string.gsub(hindrance, '%c', ' ')
  return (position and int(position) or '') .. ' ' .. (left_ms and int(left_ms) or '') .. ' ' .. hindrance
end

-- Returns the status line, and after a line break the record unless the reader knows this version of it. Most polls
-- find a job unchanged. Returns '' if there is no such job.
local function job_reply(job_id, since_ms, known_version)
  local state, version = job_fields(job_id, 'state', 'version')
  if not state then return '' end
  local line = status_line(job_id, state, since_ms)
  if version == known_version then return line end
  return line .. '\n' .. record_json(job_id)
end

-- Returns the milliseconds until the next job of an engine ends; 0 if they cannot be estimated.
local function next_place_ms(engine, since_ms)
  local slots = live_slots(engine, since_ms)
  if slots == 0 then return 0 end
  return tonumber(redis.call('GET', key('pace', engine)) or 0) / slots
end
