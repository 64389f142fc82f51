-- Begins `read` after keys.lua: of a job that is worked on or has ended, in the version that its reader knows, there is little
-- to tell. Most polls end here, before the functions are made that follow. One that is uploaded may wait for the storage.
local known = get(ARGV[1], 'state', 'version', 'due_ms', 'stage')
if known[2] == ARGV[3] and known[1] ~= 'queued' and (known[1] ~= 'running' or known[4] ~= 'upload') then
  if known[1] ~= 'running' or known[3] == '' then return '  ' end
  if known[3] then return ' ' .. int(math.max(0, known[3] - now_ms())) .. ' ' end
end
