-- Adds to the counters of all processes.
-- Arguments:
--   names: list
--   amounts: list, one for each name
-- Returns: 1
-- include lib/keys

for i, name in ipairs(names) do redis.call('HINCRBYFLOAT', key('tally'), name, amounts[i]) end
return 1
