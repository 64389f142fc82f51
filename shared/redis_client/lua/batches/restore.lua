-- Put back a batch's record from what storage tells of it; its reading goes on where it was, if only to find the end.
-- -> 1 | 0. ARGV: batch, owner, request, letters, cursor, ms of audio, bytes, exports, highest fence, and as JSON: items by
-- state, items by what made them
local id, owner, request, letters, cursor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local audio_ms, bytes, exports, fence = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local record, now = key('batch', id), int(now_ms())
if redis.call('EXISTS', record) == 1 then return 0 end
redis.call('HSET', record, 'schema', 1, 'owner', owner, 'request', request, 'state', 'reading', 'created_ms', now,
  'cursor', cursor, 'total', #letters, 'next', 1, 'version', now, 'audio_ms', audio_ms, 'stored_bytes', bytes,
  'exports', exports)
if #letters > 0 then redis.call('SET', key('batch', id, 'states'), letters) end
for name, number in pairs(cjson.decode(ARGV[10])) do
  count_item(id, name, number)
  if name == 'succeeded' or name == 'failed' or name == 'canceled' then
    redis.call('HINCRBY', key('count'), name, int(number))
  end
end
for made, number in pairs(cjson.decode(ARGV[11])) do count_made(id, made, number) end
charge(owner, bytes)
charge_batch(id, BATCH_BYTES + #request + #letters)
if tonumber(redis.call('GET', key('fence')) or 0) < fence then redis.call('SET', key('fence'), int(fence)) end
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live')}) do
  redis.call('ZADD', index, now, id)
end
return 1
