-- The record of a job, a hash. docs/job-lifecycle.md describes its fields.
-- include lib/keys

-- Returns the values of fields; false for each that is missing.
local function job_fields(job_id, ...) return unpack(redis.call('HMGET', key('job', job_id), ...)) end

-- Every change that clients see increases the version, which ETags and caches follow, and wakes clients that wait for
-- the job. Versions begin with the time, so a record that is restored has no version that an earlier record had.
local function set_job_fields(job_id, ...)
  redis.call('HSET', key('job', job_id), ...)
  redis.call('HINCRBY', key('job', job_id), 'version', 1)
  redis.call('PUBLISH', key('changes'), job_id)
end

local function append_attempt_error(job_id, error_json)
  local errors = redis.call('HGET', key('job', job_id), 'attempt_errors') or ''
  if errors ~= '' then error_json = errors .. '\n' .. error_json end
  redis.call('HSET', key('job', job_id), 'attempt_errors', error_json)
end
