-- Records a finished upload, unused until a job uses it, if there is space left.
-- Arguments:
--   upload_id: text
--   owner: text
--   size_bytes: number
--   max_owner_stored_bytes: number, 0: no limit
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
--   fields: list, the names and values of the record's fields
-- Returns: ok, no_room (the owner's storage is full), records_full or memory_full
-- include lib/uploads

if max_owner_stored_bytes > 0 and stored_bytes(owner) + size_bytes > max_owner_stored_bytes then return 'no_room' end
local refused = record_refusal(owner, max_owner_record_bytes, max_record_bytes)
if refused then return refused end
charge_stored_bytes(owner, size_bytes)
redis.call('HSET', key('upload', upload_id), unpack(fields))
charge_upload(upload_id, owner)
redis.call('ZADD', key('uploads'), int(now_ms()), upload_id)
return 'ok'
