-- Cancel a job, queued or running; a running claim finds out at its next heartbeat. -> state before, or nothing
local id, retention_ms = ARGV[1], tonumber(ARGV[2])
local state = get(id, 'state')[1]
if state ~= 'queued' and state ~= 'running' then return state end
leave_line(id)
settle(id, state, 'canceled', retention_ms, 'fence', '0')
return state
