-- Deletes the records of some uploads that nothing has used for long.
-- Arguments:
--   age_ms: number
-- Returns: the keys of their objects
-- include lib/uploads

local MAX_UPLOADS = 500 -- in one run, so that it does not block Redis for long
local object_keys = {}
local unused_since = int(now_ms() - age_ms)
local abandoned = redis.call('ZRANGEBYSCORE', key('uploads'), '-inf', unused_since, 'LIMIT', 0, MAX_UPLOADS)
for _, upload_id in ipairs(abandoned) do
  object_keys[#object_keys + 1] = redis.call('HGET', key('upload', upload_id), 'key') or ('uploads/' .. upload_id)
  delete_upload_record(upload_id)
  redis.call('ZREM', key('uploads'), upload_id)
end
return object_keys
