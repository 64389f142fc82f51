-- Replaces an ended job's record by its item's result. The details are in the storage.
-- Arguments:
--   batch_id: text
--   number: number, of the item
--   job_version: text, of the job's record as the caller has read it
--   result: text, as JSON
--   letter: text, that the item gets
--   audio_ms: number, of audio more than in the item's earlier result
--   stored_bytes_more: number, of outputs more than in the item's earlier result
--   unneeded_bytes: number, of outputs that the item no longer needs
--   upload_id: text, the source, or ''
--   made_by: text, the engine and version that made the result
--   retention_ms: number, how long an ended batch is kept
-- Returns: 1, or 0 if the job has changed in the meantime
-- include lib/clock
-- include lib/stored_bytes
-- include lib/batches/end
-- include lib/batches/results

local STATES = {s = 'succeeded', f = 'failed', c = 'canceled'}
local job_id, record = item_job_id(batch_id, number), key('batch', batch_id)
if job_fields(job_id, 'version') ~= job_version then return 0 end
local letter_before = item_letter(batch_id, number)
-- There is no letter if the batch has been deleted in the meantime.
if letter_before == '' or not string.find('SFC', letter_before, 1, true) then return 0 end

local function count_ended_item(state, by)
  count_items(batch_id, state, by)
  redis.call('HINCRBY', key('count'), state, by)
end

set_item_letter(batch_id, number, letter)
if string.lower(letter_before) ~= letter then
  count_ended_item(STATES[string.lower(letter_before)], -1)
  count_ended_item(STATES[letter], 1)
end
if letter == 's' then count_items_made_by(batch_id, made_by, 1) end
redis.call('SREM', key('batch', batch_id, 'ended'), int(number))
put_result(batch_id, number, result)
redis.call('HINCRBY', record, 'audio_ms', int(audio_ms))
redis.call('HINCRBY', record, 'stored_bytes', int(stored_bytes_more))
redis.call('HINCRBY', record, 'version', 1)
charge_stored_bytes(redis.call('HGET', record, 'owner'), -unneeded_bytes)
-- The batch itself keeps the upload until the batch is deleted.
if upload_id ~= '' then redis.call('SREM', key('upload', upload_id, 'jobs'), job_id) end
delete_job_record(job_id)
end_batch_if_done(batch_id, retention_ms, now_ms())
return 1
