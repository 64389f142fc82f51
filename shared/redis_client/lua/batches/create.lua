-- Accept a batch; its manifest is read later. Said twice it is the same batch again.
-- -> {ok | exists, the record as a flat list} or {upload_gone | records_full | memory_full}
local id, owner, request, upload, exports = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_owner_bytes, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local record = key('batch', id)
if redis.call('EXISTS', record) == 1 then return {'exists', redis.call('HGETALL', record)} end
local refused = record_refusal(owner, max_owner_bytes, max_bytes)
if refused then return {refused} end
if upload ~= '' then
  if redis.call('EXISTS', key('upload', upload)) == 0 then return {'upload_gone'} end
  redis.call('SADD', key('upload', upload, 'jobs'), id)
  redis.call('ZREM', key('uploads'), upload)
end
local now = int(now_ms())
redis.call('HSET', record, 'schema', 1, 'owner', owner, 'request', request, 'state', 'reading', 'created_ms', now,
  'cursor', '', 'total', 0, 'next', 1, 'version', now,
  'exports', exports)
charge_batch(id, BATCH_BYTES + #request + (names_webhook(request) and WEBHOOK_BYTES or 0))
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live')}) do
  redis.call('ZADD', index, now, id)
end
return {'ok', redis.call('HGETALL', record)}
