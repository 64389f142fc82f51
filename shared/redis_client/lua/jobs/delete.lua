-- Deletes the record of an ended job. The caller deletes the objects; if the caller dies, the garbage collector does.
-- Arguments:
--   job_id: text
-- Returns: {state before, '' if there is no such job, 'batch' for a batch's job, which is deleted with its batch,
--  'read' while other jobs read its outputs; key of the source if no other job uses it, or ''}
-- include lib/uploads
-- include lib/jobs/read_outputs

local state, owner, request_json, output_bytes, content, batch_id = job_fields(
  job_id, 'state', 'owner', 'request', 'stored_bytes', 'content', 'batch')
if not state then return {'', ''} end
if batch_id then return {'batch', ''} end
if state == 'queued' or state == 'running' then return {state, ''} end
if has_readers(key('job', job_id, 'readers')) then
  put_off_expiry(key('settled'), job_id)
  return {'read', ''}
end

-- Ends the job's use of its source. Returns the source's key if the source is to be deleted too, or ''.
local function release_source()
  local source = cjson.decode(request_json).source
  local upload_id = source.upload_id
  if not upload_id or upload_id == cjson.null then return '' end
  redis.call('SREM', key('upload', upload_id, 'jobs'), job_id)
  if redis.call('SCARD', key('upload', upload_id, 'jobs')) > 0 then return '' end
  if redis.call('HGET', key('upload', upload_id), 'implicit') == '1' then
    delete_upload_record(upload_id)
    return source.key
  end
  redis.call('ZADD', key('uploads'), int(now_ms()), upload_id)
  return ''
end

local source_key = release_source()
charge_stored_bytes(owner, -(output_bytes or 0))
for digest in string.gmatch(content or '', '%S+') do
  if redis.call('GET', key('content', digest)) == job_id then redis.call('DEL', key('content', digest)) end
end
delete_job_record(job_id)
redis.call('DEL', key('deliveries', job_id))
for _, index in ipairs({key('jobs'), key('jobs', owner), key('settled')}) do redis.call('ZREM', index, job_id) end
redis.call('HINCRBY', key('count'), state, -1)
-- The entry names the source too, so that an interrupted deletion can be finished.
redis.call('ZADD', key('deleted'), int(now_ms()), job_id .. ' ' .. source_key)
redis.call('PUBLISH', key('changes'), job_id)
return {state, source_key}
