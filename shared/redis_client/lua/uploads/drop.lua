-- Deletes the record of an upload that nothing uses, because its object was deleted.
-- Arguments:
--   upload_id: text
-- Returns: 1, or 0 if the upload is used
-- include lib/uploads

if redis.call('SCARD', key('upload', upload_id, 'jobs')) > 0 then return 0 end
delete_upload_record(upload_id)
redis.call('ZREM', key('uploads'), upload_id)
return 1
