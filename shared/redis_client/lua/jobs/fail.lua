-- End an attempt with an error: for good, or back to the line after a pause. -> 1 | 0
local id, fence, err, code = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local retry_ms, retention_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
if ended_by(id, fence, 'failed') then return 1 end
if not holds(id, fence) then return 0 end
note_error(id, err)
if retry_ms >= 0 then
  redis.call('ZREM', key('running'), id)
  leave_bulk(id)
  redis.call('ZADD', key('delayed'), int(now_ms() + retry_ms), id)
  redis.call('HINCRBY', key('failures'), 'retried:' .. code, 1)
  move(id, 'running', 'queued', 'stage', '', 'fence', '0')
else
  redis.call('HINCRBY', key('failures'), code, 1)
  settle(id, 'running', 'failed', retention_ms, 'error', err)
end
return 1
