-- Which names of exported copies are taken by earlier items of a batch.
-- Arguments:
--   batch_id: text
--   cursor: text, where the caller began to read
--   marks: list, digests of the names
-- Returns: {1, 0 or 1 for each}, or {0} if another process has read on: then these names are marked as taken already
-- include lib/keys

if redis.call('HGET', key('batch', batch_id), 'cursor') ~= cursor then return {0} end
local answer = {1}
for _, mark in ipairs(marks) do
  answer[#answer + 1] = redis.call('SISMEMBER', key('batch', batch_id, 'marks'), mark)
end
return answer
