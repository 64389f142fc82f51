-- Deletes results from Redis that are now in the storage, unless another version of their chunk was stored first.
-- Arguments:
--   batch_id: text
--   chunk: text, its number
--   version_before: text, of the chunk, '' for none
--   version: text, of the chunk, as stored
--   numbers: list, of the items in the chunk
--   results: list, one for each item, as stored
-- Returns: 1 or 0
-- include lib/batches/results

local chunks, waiting_results = key('batch', batch_id, 'chunks'), key('batch', batch_id, 'results')
if redis.call('EXISTS', key('batch', batch_id)) == 0 then return 0 end
if (redis.call('HGET', chunks, chunk) or '') ~= version_before then return 0 end
redis.call('HSET', chunks, chunk, version)
for i, number in ipairs(numbers) do
  -- An item that ran again meanwhile has a newer result.
  if redis.call('HGET', waiting_results, number) == results[i] then delete_result(batch_id, number) end
end
return 1
