-- Ends the use of uploads by a batch that is deleted.
-- Arguments:
--   batch_id: text
--   uploads: list
-- Returns: 1
-- include lib/clock
-- include lib/keys

local now = int(now_ms())
for _, upload_id in ipairs(uploads) do
  local users = key('upload', upload_id, 'jobs')
  if redis.call('SREM', users, batch_id) == 1 and redis.call('SCARD', users) == 0 then
    redis.call('ZADD', key('uploads'), now, upload_id)
  end
end
return 1
