-- Begins `read` after keys.lua: of an ended job in the version that its reader knows there is nothing to tell. Most polls of
-- such a job end here, before the functions are made that follow.
local known = get(ARGV[1], 'state', 'version')
if known[2] == ARGV[3] and known[1] ~= 'queued' and known[1] ~= 'running' then return ' ' end
