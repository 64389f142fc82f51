-- Deletes some of the ended jobs that a deleted batch has left.
-- Arguments:
--   batch_id: text
--   max_jobs: text, how many at most
-- Returns: how many are left
-- include lib/record_bytes
-- include lib/stored_bytes
-- include lib/batches/items

local ended = key('batch', batch_id, 'ended')
if redis.call('EXISTS', key('batch', batch_id)) == 1 then return 0 end
for _, number in ipairs(redis.call('SPOP', ended, max_jobs)) do
  local job_id = item_job_id(batch_id, tonumber(number))
  local owner, output_bytes = job_fields(job_id, 'owner', 'stored_bytes')
  if owner then charge_stored_bytes(owner, -(output_bytes or 0)) end
  delete_job_record(job_id)
end
return redis.call('SCARD', ended)
