-- Cancel a batch: what waits, what is in line, what runs. -> {state before or '', the record as a flat list}
local id, retention_ms = ARGV[1], tonumber(ARGV[2])
local record, states = key('batch', id), key('batch', id, 'states')
local before = redis.call('HGET', record, 'state')
if before == 'reading' or before == 'running' then
  redis.call('HSET', record, 'state', 'canceled')
  local letters, waiting = string.gsub(redis.call('GET', states) or '', 'w', 'c')
  redis.call('SET', states, letters)
  count_item(id, 'waiting', -waiting)
  count_item(id, 'canceled', waiting)
  redis.call('HINCRBY', key('count'), 'canceled', int(waiting))
  local at = string.find(letters, 'q', 1, true)
  while at do
    local job = job_of(id, at)
    leave_line(job)
    settle(job, get(job, 'state')[1], 'canceled', retention_ms, 'fence', '0')
    at = string.find(letters, 'q', at + 1, true)
  end
  end_batch(id, 'canceled', retention_ms, now_ms())
end
return {before or '', redis.call('HGETALL', record)}
