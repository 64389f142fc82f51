-- Results of items that are not yet in the storage.
-- include lib/record_bytes

local function delete_result(batch_id, number)
  local results = key('batch', batch_id, 'results')
  charge_batch(batch_id, -redis.call('HSTRLEN', results, number) - RESULT_BYTES)
  redis.call('HDEL', results, number)
end

local function put_result(batch_id, number, result)
  local results = key('batch', batch_id, 'results')
  if redis.call('HEXISTS', results, int(number)) == 1 then delete_result(batch_id, int(number)) end
  redis.call('HSET', results, int(number), result)
  charge_batch(batch_id, #result + RESULT_BYTES)
end
