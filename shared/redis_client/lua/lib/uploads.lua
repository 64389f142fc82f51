-- Records of uploads. The set upload:<id>:jobs names the jobs and batches that use an upload; `uploads` has those that
-- nothing uses.
-- include lib/record_bytes
-- include lib/stored_bytes

local function upload_exists(upload_id) return redis.call('EXISTS', key('upload', upload_id)) == 1 end

-- Keeps an upload for a job or batch.
local function use_upload(upload_id, user_id)
  redis.call('SADD', key('upload', upload_id, 'jobs'), user_id)
  redis.call('ZREM', key('uploads'), upload_id)
end

local function charge_upload(upload_id, owner)
  local bytes = UPLOAD_BYTES
  for _, value in ipairs(redis.call('HVALS', key('upload', upload_id))) do bytes = bytes + #value end
  redis.call('HSET', key('upload', upload_id), 'record_bytes', int(bytes))
  charge_records(owner, bytes)
end

local function delete_upload_record(upload_id)
  local owner, size_bytes, bytes = unpack(
    redis.call('HMGET', key('upload', upload_id), 'owner', 'size_bytes', 'record_bytes'))
  if owner and size_bytes then charge_stored_bytes(owner, -size_bytes) end
  if owner and bytes then charge_records(owner, -bytes) end
  redis.call('DEL', key('upload', upload_id))
end
