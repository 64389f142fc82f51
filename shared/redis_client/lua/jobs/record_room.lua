-- Whether an owner may have more records.
-- Arguments:
--   owner: text
--   max_owner_record_bytes: number, of Redis for the records of one owner; 0: no limit
--   max_record_bytes: number, of Redis for all records; 0: no limit
-- Returns: records_full, memory_full or ''
-- include lib/record_bytes

return record_refusal(owner, max_owner_record_bytes, max_record_bytes) or ''
