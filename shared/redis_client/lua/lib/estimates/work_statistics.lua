-- How long jobs take, learnt from jobs that succeeded: for each engine, and for each kind (an engine with a preset and
-- parameters).
--
-- Three things are learnt. The fit is a straight line of a job's work over the length of its audio; it is kept as sums
-- in which older jobs fade. The drift is the factor by which the last jobs missed that line: it follows sudden
-- changes, such as a machine that becomes busy. The course is the share of its time that a job has used at each
-- progress.
-- include lib/keys

local SUMS_KEEP = 0.85 -- the share of its weight that a job keeps with each later job; higher is steadier but slower
local DRIFT_FOLLOWS = 0.4 -- how much of the last job's error is expected of the next job
local COURSE_FOLLOWS = 0.3 -- the weight of the last job in the course
local SHARE_THAT_GROWS = 0.75 -- how much of the work grows with the length, until jobs of several lengths have shown it
local TELLING_PROGRESS = 0.15 -- from this progress on, a job's own pace is used if nothing has been learnt
local KEPT_MS = 30 * 86400000

local fits = {} -- the fits that this run of the script has computed, by kind

-- Returns the fit of a kind, {base_ms, slope, mean_audio_ms, drift}, or false if nothing has been learnt.
local function fit_of(kind)
  if fits[kind] ~= nil then return fits[kind] end
  local n, x, y, xx, xy, drift = unpack(redis.call('HMGET', key('work', kind), 'n', 'x', 'y', 'xx', 'xy', 'drift'))
  if not n then
    fits[kind] = false
    return false
  end
  local mean_x, mean_y = x / n, y / n
  local base, slope = mean_y, 0
  if mean_x > 0 then
    -- Jobs of one length show no slope. The more alike their lengths were, the more SHARE_THAT_GROWS decides it.
    local doubt, proportional = 0.05 * mean_x * mean_x, mean_y / mean_x
    slope = (xy / n - mean_x * mean_y + doubt * SHARE_THAT_GROWS * proportional) / (xx / n - mean_x * mean_x + doubt)
    slope = math.max(0, math.min(slope, proportional))
    base = mean_y - slope * mean_x
  end
  fits[kind] = {base_ms = base, slope = slope, mean_audio_ms = mean_x, drift = tonumber(drift or 1)}
  return fits[kind]
end

-- Returns the milliseconds of work in a job, or nil if nothing has been learnt. The length of its audio may be unknown.
local function expected_ms(engine, kind, audio_ms)
  local fit = kind and fit_of(kind) or fit_of(engine)
  if not fit then return nil end
  return fit.drift * (fit.base_ms + fit.slope * (tonumber(audio_ms or nil) or fit.mean_audio_ms))
end

local function learn_work(kind, audio_ms, took_ms)
  local fit, drift = fit_of(kind), 1
  if fit then
    -- A single odd job, for example on a machine that was suspended, must not spoil the estimates of all others.
    local expected = fit.base_ms + fit.slope * audio_ms
    took_ms = math.max(expected / 4, math.min(took_ms, expected * 4))
    drift = fit.drift ^ (1 - DRIFT_FOLLOWS) * (took_ms / math.max(1, expected)) ^ DRIFT_FOLLOWS
  end
  local statistics = key('work', kind)
  local sums = redis.call('HMGET', statistics, 'n', 'x', 'y', 'xx', 'xy')
  local new_sums = {1, audio_ms, took_ms, audio_ms * audio_ms, audio_ms * took_ms}
  for i = 1, 5 do new_sums[i] = string.format('%.17g', new_sums[i] + SUMS_KEEP * tonumber(sums[i] or 0)) end
  redis.call('HSET', statistics, 'n', new_sums[1], 'x', new_sums[2], 'y', new_sums[3], 'xx', new_sums[4],
    'xy', new_sums[5], 'drift', string.format('%.4f', drift))
  redis.call('PEXPIRE', statistics, KEPT_MS)
end

-- `course` is text: pairs of a progress and a share of the time, in ascending order.
local function learn_course(kind, course)
  local share_before, updated = {}, {}
  for progress, share in string.gmatch(redis.call('GET', key('course', kind)) or '', '(%S+) (%S+)') do
    share_before[progress] = share
  end
  for progress, share in string.gmatch(course, '(%S+) (%S+)') do
    local smoothed = COURSE_FOLLOWS * share + (1 - COURSE_FOLLOWS) * (share_before[progress] or share)
    updated[#updated + 1] = progress .. ' ' .. string.format('%.4f', smoothed)
  end
  redis.call('SET', key('course', kind), table.concat(updated, ' '), 'PX', KEPT_MS)
end

-- Returns the share of its time that a job has used at a progress, by linear interpolation in the course.
local function share_of_time(engine, kind, progress)
  local course = kind and redis.call('GET', key('course', kind)) or redis.call('GET', key('course', engine))
  local low_progress, low_share = 0, 0
  local high_progress, high_share = 1, 1
  for progress_text, share_text in string.gmatch(course or '', '(%S+) (%S+)') do
    local at, share = tonumber(progress_text), tonumber(share_text)
    if progress <= at then
      high_progress, high_share = at, share
      break
    end
    low_progress, low_share = at, share
  end
  local fraction = (progress - low_progress) / math.max(high_progress - low_progress, 1e-6)
  return low_share + (high_share - low_share) * fraction
end

local WORK_FIELDS = {'engine', 'kind', 'audio_ms', 'progress', 'working_ms', 'fence', 'class', 'floor', 'due_ms'}

-- Returns the fields of a job's record that estimates need, as a table; missing ones are nil.
local function work_of(job_id)
  local work, values = {}, redis.call('HMGET', key('job', job_id), unpack(WORK_FIELDS))
  for i, field in ipairs(WORK_FIELDS) do work[field] = values[i] or nil end
  return work
end

-- Returns the milliseconds that a job which is being separated still takes, or nil if they cannot be estimated.
local function remaining_ms(work, now)
  local elapsed, progress = now - work.working_ms, tonumber(work.progress or 0)
  local expected = expected_ms(work.engine, work.kind, work.audio_ms)
  if progress <= tonumber(work.floor or 0) then
    -- The progress is still that of an earlier attempt.
    return expected and math.max(expected - elapsed, expected / 10)
  end
  local done = share_of_time(work.engine, work.kind, progress)
  local by_own_pace = elapsed / math.max(done, 0.01)
  if not expected then return done >= TELLING_PROGRESS and by_own_pace * (1 - done) or nil end
  -- Early progress says little. What other jobs took counts for more until half is done.
  local trust = math.min(1, 2 * done)
  return (1 - done) * ((1 - trust) * expected + trust * by_own_pace)
end
