-- Cancel a job, queued or running; a running claim finds out at its next heartbeat. -> {state before or '', the record}
local id, retention_ms, alive_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local state = get(id, 'state')[1]
if state == 'queued' or state == 'running' then
  leave_line(id)
  settle(id, state, 'canceled', retention_ms, 'fence', '0')
end
return {state or '', record_of(id, now_ms() - alive_ms)}
