-- A batch's record as JSON, unless its reader knows this version of it. -> JSON, '' where it is known, or nothing
-- One string and no list of fields: whoever polls reads it in one go.
local record = key('batch', ARGV[1])
local version = redis.call('HGET', record, 'version')
if not version or version == ARGV[2] then return version and '' end
local flat, named = redis.call('HGETALL', record), {}
for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
return cjson.encode(named)
