-- Ends a waiting item that no job can be made of. An item that waits for a rerun keeps its earlier result.
-- Arguments:
--   batch_id: text
--   number: number, of the item
--   result: text, as JSON
--   retention_ms: number, how long an ended batch is kept
-- Returns: 1, or 0 if the item does not wait
-- include lib/clock
-- include lib/batches/end
-- include lib/batches/results

local letter = item_letter(batch_id, number)
if not is_waiting(letter) then return 0 end
local state = letter == 'r' and 'succeeded' or 'failed'
set_item_letter(batch_id, number, string.sub(state, 1, 1))
if state == 'failed' then put_result(batch_id, number, result) end
count_items(batch_id, 'waiting', -1)
count_items(batch_id, state, 1)
redis.call('HINCRBY', key('count'), state, 1)
end_batch_if_done(batch_id, retention_ms, now_ms())
return 1
