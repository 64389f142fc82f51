-- The results of a chunk are in storage, in this version: forget them here, unless a newer version came first. -> 1 | 0
-- ARGV: batch, chunk, version before, version now, then number and result of each
local id, chunk, before, after = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local chunks, results = key('batch', id, 'chunks'), key('batch', id, 'results')
if redis.call('EXISTS', key('batch', id)) == 0 or (redis.call('HGET', chunks, chunk) or '') ~= before then return 0 end
redis.call('HSET', chunks, chunk, after)
for i = 5, #ARGV, 2 do
  -- An item that was done again meanwhile has another result by now.
  if redis.call('HGET', results, ARGV[i]) == ARGV[i + 1] then drop_result(id, ARGV[i]) end
end
return 1
