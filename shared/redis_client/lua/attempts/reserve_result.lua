-- Looks for an equal job before a claimed one is separated. If an equal job is running, this one waits for its end
-- without charging an attempt.
-- Arguments:
--   job_id: text
--   fence: text, that of the claim
--   digests: list, of what the job would make; the first is looked for
-- Returns: {'lost'} if the claim no longer holds, {'known', the job that made it}, {'waits'} or {'go'}
-- include lib/clock
-- include lib/jobs/claims
-- include lib/jobs/queue

local MAX_WAIT_MS = 3600000 -- normally the end of the equal job returns this one to the queue earlier

if not holds_claim(job_id, fence) then return {'lost'} end
set_job_fields(job_id, 'content', table.concat(digests, ' '))
local digest = digests[1]
local made_by = redis.call('GET', key('content', digest))
if made_by then return {'known', made_by} end

local maker = redis.call('GET', key('making', digest))
if maker and maker ~= job_id and job_fields(maker, 'state') == 'running' then
  redis.call('SADD', key('twins', digest), job_id)
  leave_bulk_jobs(job_id)
  redis.call('HINCRBY', key('job', job_id), 'attempt', -1)
  end_claim(job_id)
  redis.call('ZADD', key('delayed'), int(now_ms() + MAX_WAIT_MS), job_id)
  return {'waits'}
end
redis.call('SET', key('making', digest), job_id)
return {'go'}
