-- Before a claim separates what may be separated, or be under way, elsewhere: look for an answer, or for a job that
-- works on the same; then this one waits in line until that has ended, and no attempt is charged.
-- ARGV: job, fence, then the names of what it would make; the first is looked for
-- -> {'lost'} | {'known', job that made it} | {'waits'} | {'go'}
local id, fence, name = ARGV[1], ARGV[2], ARGV[3]
if not holds(id, fence) then return {'lost'} end
set(id, 'content', table.concat(ARGV, ' ', 3))
local known = redis.call('GET', key('content', name))
if known then return {'known', known} end
local holder = redis.call('GET', key('making', name))
if holder and holder ~= id and get(holder, 'state')[1] == 'running' then
  redis.call('SADD', key('twins', name), id)
  redis.call('ZREM', key('running'), id)
  leave_bulk(id)
  redis.call('HINCRBY', key('job', id), 'attempt', -1)
  move(id, 'running', 'queued', 'stage', '', 'fence', '0')
  -- Its twin's end brings it back to the line; this is for the case that nobody thought of.
  redis.call('ZADD', key('delayed'), int(now_ms() + 3600000), id)
  return {'waits'}
end
redis.call('SET', key('making', name), id)
return {'go'}
