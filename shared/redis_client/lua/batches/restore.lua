-- Restores a batch's record from the storage, after Redis was lost. The manifest is then read from the cursor on.
-- Arguments:
--   batch_id: text
--   schema: text, of the record (shared/parsing/stored_records.py)
--   owner: text
--   request: text, as JSON
--   letters: text, one for each item
--   cursor: text, where to continue to read the manifest
--   audio_ms: text, of audio in all results
--   output_bytes: text, of all outputs, and of the items and their list
--   exports: flag, whether the stems are copied to another bucket
--   fence: number, the highest in the storage
--   counts: text, the number of items by state as JSON
--   made: text, the number of succeeded items by what made them as JSON
-- Returns: 1, or 0 if there is a record
-- include lib/clock
-- include lib/record_bytes
-- include lib/stored_bytes
-- include lib/batches/items

local record, now = key('batch', batch_id), int(now_ms())
if redis.call('EXISTS', record) == 1 then return 0 end
redis.call('HSET', record, 'schema', schema, 'owner', owner, 'request', request, 'state', 'reading', 'created_ms', now,
  'cursor', cursor, 'total', #letters, 'next', 1, 'version', now, 'audio_ms', audio_ms, 'stored_bytes', output_bytes,
  'exports', exports and '1' or '0')
if #letters > 0 then redis.call('SET', key('batch', batch_id, 'states'), letters) end
for state, number in pairs(cjson.decode(counts)) do
  count_items(batch_id, state, number)
  if state == 'succeeded' or state == 'failed' or state == 'canceled' then
    redis.call('HINCRBY', key('count'), state, int(number))
  end
end
for made_by, number in pairs(cjson.decode(made)) do count_items_made_by(batch_id, made_by, number) end
charge_stored_bytes(owner, output_bytes)
charge_batch(batch_id, BATCH_BYTES + #request + #letters)
if tonumber(redis.call('GET', key('fence')) or 0) < fence then redis.call('SET', key('fence'), int(fence)) end
for _, index in ipairs({key('batches'), key('batches', owner), key('batches', 'live')}) do
  redis.call('ZADD', index, now, batch_id)
end
return 1
