-- Reads a job's record, unless the reader knows this version, with its position in the queue and the time left.
-- Arguments:
--   job_id: text
--   alive_ms: number, how long a worker counts as alive after its heartbeat
--   known_version: text, '' for none
-- Returns: the job's reply (lib/jobs/reply.lua), '' if there is no such job
-- include lib/clock
-- include lib/jobs/record

-- Most polls end here, before Redis defines the functions below. A queued job has a position, and one that is being
-- uploaded may wait for the storage; all others that have not changed have at most a time left.
local state, version, due_ms, stage = job_fields(job_id, 'state', 'version', 'due_ms', 'stage')
if version == known_version and state ~= 'queued' and (state ~= 'running' or stage ~= 'upload') then
  if state ~= 'running' or due_ms == '' then return '  ' end
  if due_ms then return ' ' .. int(math.max(0, due_ms - now_ms())) .. ' ' end
end

-- include lib/jobs/reply
return job_reply(job_id, now_ms() - alive_ms, known_version)
