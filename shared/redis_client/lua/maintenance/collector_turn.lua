-- Takes the turn to collect garbage, unless another worker has it. The turn expires by itself.
-- Arguments:
--   turn_ms: text, how long the turn lasts
-- Returns: 1 or 0
-- include lib/keys

return redis.call('SET', key('lock', 'collector'), '1', 'NX', 'PX', turn_ms) and 1 or 0
