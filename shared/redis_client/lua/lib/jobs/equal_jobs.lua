-- Jobs that ask for the same as a running job wait for its end. The first digest in `content` is what they share.
-- include lib/jobs/queue

-- Returns the jobs that wait for this job to the queue, where each looks for a result again.
local function release_equal_jobs(job_id)
  local digest = string.match(job_fields(job_id, 'content') or '', '^%S+')
  if not digest or redis.call('GET', key('making', digest)) ~= job_id then return end
  for _, waiting_id in ipairs(redis.call('SMEMBERS', key('twins', digest))) do
    if redis.call('ZREM', key('delayed'), waiting_id) == 1 then
      enter_queue(waiting_id, job_fields(waiting_id, 'created_ms'))
    end
  end
  redis.call('DEL', key('making', digest), key('twins', digest))
end
