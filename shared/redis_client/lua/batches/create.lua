-- Accepts a batch. Its manifest is read later. A second call with the same id returns the same batch.
-- Arguments:
--   batch_id: text
--   schema: text, of the record (shared/parsing/stored_records.py)
--   owner: text
--   request: text, as JSON
--   upload_id: text, the manifest; '' if it is in another bucket
--   exports: flag, whether the stems are copied to another bucket
--   list_bytes: number, of the list of items in the storage, if it came with the request
--   max_owner_stored_bytes: number, 0: no limit
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
-- Returns: {'ok' or 'exists', the batch's record as a flat list}, {'upload_gone'}, {'no_room'}, {'records_full'} or
--  {'memory_full'}
-- include lib/clock
-- include lib/record_bytes
-- include lib/stored_bytes
-- include lib/uploads
-- include lib/webhooks/messages

local record = key('batch', batch_id)
if redis.call('EXISTS', record) == 1 then return {'exists', redis.call('HGETALL', record)} end
local refused = record_refusal(owner, max_owner_record_bytes, max_record_bytes)
if refused then return {refused} end
if max_owner_stored_bytes > 0 and list_bytes > 0 and stored_bytes(owner) + list_bytes > max_owner_stored_bytes then
  return {'no_room'}
end
if upload_id ~= '' then
  if not upload_exists(upload_id) then return {'upload_gone'} end
  use_upload(upload_id, batch_id)
end
local now = int(now_ms())
redis.call('HSET', record, 'schema', schema, 'owner', owner, 'request', request, 'state', 'reading', 'created_ms', now,
  'cursor', '', 'total', 0, 'next', 1, 'version', now, 'exports', exports and '1' or '0',
  'stored_bytes', int(list_bytes))
charge_stored_bytes(owner, list_bytes)
charge_batch(batch_id, BATCH_BYTES + #request + message_bytes(request))
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live')}) do
  redis.call('ZADD', index, now, batch_id)
end
return {'ok', redis.call('HGETALL', record)}
