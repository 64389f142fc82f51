-- End a waiting item that no job can be made of. -> 1 | 0
local id, number, result, retention_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if item_letter(id, number) ~= 'w' then return 0 end
mark_item(id, number, 'f')
redis.call('HSET', key('batch', id, 'results'), int(number), result)
count_item(id, 'waiting', -1)
count_item(id, 'failed', 1)
redis.call('HINCRBY', key('count'), 'failed', 1)
end_batch_if_done(id, retention_ms, now_ms())
return 1
