-- Take over what was read of a batch's manifest, if nobody was faster: the items' letters, and where to read on.
-- -> ok | late | records_full | memory_full
local id, before, after, letters, is_last, err = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local retention_ms, max_owner_bytes, max_bytes, uploads = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local record = key('batch', id)
local batch = redis.call('HMGET', record, 'state', 'cursor', 'owner')
if batch[1] ~= 'reading' or batch[2] ~= before then return 'late' end
local bytes = #letters + MARK_BYTES * (#ARGV - 10)
if bytes > 0 then
  local refused = record_refusal(batch[3], max_owner_bytes, max_bytes)
  if refused then return refused end
  charge_batch(id, bytes)
end
for i = 11, 10 + uploads do
  redis.call('SADD', key('upload', ARGV[i], 'jobs'), id)
  redis.call('ZREM', key('uploads'), ARGV[i])
end
for i = 11 + uploads, #ARGV do redis.call('SADD', key('batch', id, 'marks'), ARGV[i]) end
redis.call('APPEND', key('batch', id, 'states'), letters)
redis.call('HINCRBY', record, 'total', #letters)
local _, waiting = string.gsub(letters, 'w', '')
local _, invalid = string.gsub(letters, 'i', '')
count_item(id, 'waiting', waiting)
count_item(id, 'invalid', invalid)
redis.call('HSET', record, 'cursor', after)
if err ~= '' then redis.call('HSET', record, 'error', err) end
if is_last == '1' then
  redis.call('HSET', record, 'state', 'running', 'read', 1)
  charge_batch(id, -MARK_BYTES * redis.call('SCARD', key('batch', id, 'marks')))
  redis.call('UNLINK', key('batch', id, 'marks'))
  end_batch_if_done(id, retention_ms, now_ms())
end
return 'ok'
