-- Adds the items that were read from a batch's manifest, unless another process was faster.
-- Arguments:
--   batch_id: text
--   cursor_before: text, where the caller began to read
--   cursor: text, where to continue
--   letters: text, one for each item
--   items_bytes: number, of the items in the storage
--   schema: number, the highest that the items need
--   is_last: flag, whether the manifest ends here
--   error_json: text, the error that ends the reading; '' for none
--   retention_ms: number, how long an ended batch is kept
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
--   uploads: list, that the items use
--   marks: list, digests of the names of exported copies
-- Returns: ok, late, records_full or memory_full
-- include lib/clock
-- include lib/record_bytes
-- include lib/stored_bytes
-- include lib/uploads
-- include lib/batches/end

local record, known_marks = key('batch', batch_id), key('batch', batch_id, 'marks')
local state, current_cursor, owner = unpack(redis.call('HMGET', record, 'state', 'cursor', 'owner'))
if state ~= 'reading' or current_cursor ~= cursor_before then return 'late' end
local bytes = #letters + MARK_BYTES * (#uploads + #marks)
if bytes > 0 then
  local refused = record_refusal(owner, max_owner_record_bytes, max_record_bytes)
  if refused then return refused end
  charge_batch(batch_id, bytes)
end
charge_stored_bytes(owner, items_bytes)
redis.call('HINCRBY', record, 'stored_bytes', int(items_bytes))
for _, upload_id in ipairs(uploads) do use_upload(upload_id, batch_id) end
for _, mark in ipairs(marks) do redis.call('SADD', known_marks, mark) end
redis.call('APPEND', key('batch', batch_id, 'states'), letters)
redis.call('HINCRBY', record, 'total', #letters)
if schema > tonumber(redis.call('HGET', record, 'schema') or 1) then
  redis.call('HSET', record, 'schema', int(schema))
end
local _, waiting = string.gsub(letters, 'w', '')
local _, invalid = string.gsub(letters, 'i', '')
count_items(batch_id, 'waiting', waiting)
count_items(batch_id, 'invalid', invalid)
redis.call('HSET', record, 'cursor', cursor)
if error_json ~= '' then redis.call('HSET', record, 'error', error_json) end
if is_last then
  redis.call('HSET', record, 'state', 'running', 'read', 1)
  charge_batch(batch_id, -MARK_BYTES * redis.call('SCARD', known_marks))
  redis.call('UNLINK', known_marks)
  end_batch_if_done(batch_id, retention_ms, now_ms())
end
return 'ok'
