-- How long jobs take. Follows keys.lua.
-- Owns what is learnt of jobs that succeeded, for each kind and for the whole engine: a straight line of work over length
-- of audio, as sums whose old parts fade; the drift, by how much the last few jobs missed it, since a machine that gets busy
-- or a model that is loaded at last changes all that follow; and the course, which share of its time a job has used when it shows a progress.

local FADES = 0.85 -- what a job's part in the sums keeps with each that follows; higher is steadier, lower sooner right
local DRIFTS = 0.4 -- how much of what one job missed the line by is expected of the next
local GROWS = 0.75 -- how much of a job's work is taken to grow with its length until jobs of several lengths have shown it
local TELLING = 0.15 -- the progress from which a job's own pace is believed while nothing has been learnt
local KEPT_MS = 30 * 86400000

local lines = {}
-- -> {base, slope, mean length, drift}, in milliseconds, or false
local function line_of(kind)
  if lines[kind] ~= nil then return lines[kind] end
  local sums = redis.call('HMGET', key('work', kind), 'n', 'x', 'y', 'xx', 'xy', 'drift')
  if not sums[1] then
    lines[kind] = false
    return false
  end
  local n, x, y = tonumber(sums[1]), sums[2] / sums[1], sums[3] / sums[1]
  local base, slope = y, 0
  if x > 0 then
    -- Jobs of one length show no slope: then most of the work is taken to grow with it, the more so the more alike they
    -- were.
    local doubt, proportional = 0.05 * x * x, y / x
    slope = (sums[5] / n - x * y + doubt * GROWS * proportional) / (sums[4] / n - x * x + doubt)
    slope = math.max(0, math.min(slope, proportional))
    base = y - slope * x
  end
  lines[kind] = {base, slope, x, tonumber(sums[6] or 1)}
  return lines[kind]
end

-- Milliseconds of work in a job, or nil while nothing is known; the length may be unknown (false).
local function expected_ms(engine, kind, audio_ms)
  local line = kind and line_of(kind) or line_of(engine)
  if not line then return nil end
  return line[4] * (line[1] + line[2] * (tonumber(audio_ms or nil) or line[3]))
end

local function learn_work(kind, audio_ms, took_ms)
  local line, drift = line_of(kind), 1
  if line then
    -- One odd job, on a machine that slept, must not spoil what is told to all others.
    local expected = line[1] + line[2] * audio_ms
    took_ms = math.max(expected / 4, math.min(took_ms, expected * 4))
    drift = line[4] ^ (1 - DRIFTS) * (took_ms / math.max(1, expected)) ^ DRIFTS
  end
  local x, y, name = audio_ms, took_ms, key('work', kind)
  local sums, new = redis.call('HMGET', name, 'n', 'x', 'y', 'xx', 'xy'), {1, x, y, x * x, x * y}
  for i = 1, 5 do new[i] = string.format('%.17g', new[i] + FADES * tonumber(sums[i] or 0)) end
  redis.call('HSET', name, 'n', new[1], 'x', new[2], 'y', new[3], 'xx', new[4], 'xy', new[5],
    'drift', string.format('%.4f', drift))
  redis.call('PEXPIRE', name, KEPT_MS)
end

-- `course` is a list of progress and share of the time, in their order, as text.
local function learn_course(kind, course)
  local name, before = key('course', kind), {}
  for progress, share in string.gmatch(redis.call('GET', name) or '', '(%S+) (%S+)') do before[progress] = share end
  local after = {}
  for progress, share in string.gmatch(course, '(%S+) (%S+)') do
    after[#after + 1] = progress .. ' ' .. string.format('%.4f', 0.3 * share + 0.7 * (before[progress] or share))
  end
  redis.call('SET', name, table.concat(after, ' '), 'PX', KEPT_MS)
end

-- The share of its time that a job has used when it shows this progress.
local function share_done(engine, kind, progress)
  local course = kind and redis.call('GET', key('course', kind)) or redis.call('GET', key('course', engine))
  local p, s = 0, 0
  for next_p, next_s in string.gmatch(course or '', '(%S+) (%S+)') do
    next_p, next_s = tonumber(next_p), tonumber(next_s)
    if progress <= next_p then return s + (next_s - s) * (progress - p) / math.max(next_p - p, 1e-6) end
    p, s = next_p, next_s
  end
  return s + (1 - s) * (progress - p) / math.max(1 - p, 1e-6)
end

local FIELDS = {'engine', 'kind', 'audio_ms', 'progress', 'working_ms', 'fence', 'class', 'floor', 'due_ms'}
local function work_of(id)
  local job, values = {}, get(id, unpack(FIELDS))
  for i, name in ipairs(FIELDS) do job[name] = values[i] or nil end
  return job
end

-- Milliseconds that a job which is worked on still takes, or nil.
local function remaining_ms(job, now)
  local elapsed, progress = now - job.working_ms, tonumber(job.progress or 0)
  local expected = expected_ms(job.engine, job.kind, job.audio_ms)
  if progress <= tonumber(job.floor or 0) then
    -- What is shown is an earlier attempt's, until this one is further.
    return expected and math.max(expected - elapsed, expected / 10)
  end
  local done = share_done(job.engine, job.kind, progress)
  local own = elapsed / math.max(done, 0.01)
  if not expected then return done >= TELLING and own * (1 - done) or nil end
  -- Early progress tells little; what other jobs took counts for more until half is done.
  local trust = math.min(1, 2 * done)
  return (1 - done) * ((1 - trust) * expected + trust * own)
end
