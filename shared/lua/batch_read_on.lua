-- Take over what was read of a batch's manifest, if nobody was faster: the items' letters, and where to read on.
-- -> 1 | 0
local id, before, after, letters, is_last, err = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local retention_ms, uploads = tonumber(ARGV[7]), tonumber(ARGV[8])
local record = key('batch', id)
local batch = redis.call('HMGET', record, 'state', 'cursor')
if batch[1] ~= 'reading' or batch[2] ~= before then return 0 end
for i = 9, 8 + uploads do
  redis.call('SADD', key('upload', ARGV[i], 'jobs'), id)
  redis.call('ZREM', key('uploads'), ARGV[i])
end
for i = 9 + uploads, #ARGV do redis.call('SADD', key('batch', id, 'marks'), ARGV[i]) end
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
  redis.call('UNLINK', key('batch', id, 'marks'))
  end_batch_if_done(id, retention_ms, now_ms())
end
return 1
