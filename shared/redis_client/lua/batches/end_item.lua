-- End a waiting item that no job can be made of; one that was to be done again keeps what it has. -> 1 | 0
local id, number, result, retention_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local letter = item_letter(id, number)
if not is_waiting(letter) then return 0 end
local name = letter == 'r' and 'succeeded' or 'failed'
mark_item(id, number, string.sub(name, 1, 1))
if name == 'failed' then put_result(id, number, result) end
count_item(id, 'waiting', -1)
count_item(id, name, 1)
redis.call('HINCRBY', key('count'), name, 1)
end_batch_if_done(id, retention_ms, now_ms())
return 1
