-- Reads a batch's record, unless the reader knows this version. It is one JSON object, which Python parses faster than
-- a list of replies.
-- Arguments:
--   batch_id: text
--   known_version: text, '' for none
-- Returns: the record as JSON, '' if the reader knows it, or nil if there is no such batch
-- include lib/keys

local record = key('batch', batch_id)
local version = redis.call('HGET', record, 'version')
if not version or version == known_version then return version and '' end
local values, fields = redis.call('HGETALL', record), {}
for i = 1, #values, 2 do fields[values[i]] = values[i + 1] end
return cjson.encode(fields)
