-- Makes some items wait for a rerun, because other versions made them, and continues the rerun behind them.
-- Arguments:
--   batch_id: text
--   versions: text, of the engines as JSON, as the rerun names them
--   first_number: text, the item at which the caller began to look
--   next_number: number, the item at which to continue
--   retention_ms: number, how long an ended batch is kept
--   numbers: list, of the items to run again, in ascending order
--   made_by: list, the engine and version that made each
-- Returns: 1, or 0 if another process was faster
-- include lib/clock
-- include lib/batches/end

local record, states = key('batch', batch_id), key('batch', batch_id, 'states')
local rerunning, current_versions = unpack(redis.call('HMGET', record, 'rerunning', 'versions'))
if rerunning ~= first_number or current_versions ~= versions then return 0 end

-- Replaces the letters of these items. Returns how many items wait now, and how many of them each version made.
local function replace_letters(first, last)
  local letters = redis.call('GETRANGE', states, int(first - 1), int(last - 1))
  local pieces, kept_from, moved, moved_by_maker = {}, 1, 0, {}
  for i, number in ipairs(numbers) do
    local place, maker = number - first + 1, made_by[i]
    -- Any other letter means that the item runs again already.
    if string.sub(letters, place, place) == 's' then
      pieces[#pieces + 1] = string.sub(letters, kept_from, place - 1)
      pieces[#pieces + 1] = 'r'
      kept_from, moved = place + 1, moved + 1
      moved_by_maker[maker] = (moved_by_maker[maker] or 0) + 1
    end
  end
  redis.call('SETRANGE', states, int(first - 1), table.concat(pieces) .. string.sub(letters, kept_from))
  return moved, moved_by_maker
end

if #numbers > 0 then
  local first = tonumber(numbers[1])
  local moved, moved_by_maker = replace_letters(first, numbers[#numbers])
  for maker, number in pairs(moved_by_maker) do count_items_made_by(batch_id, maker, -number) end
  count_items(batch_id, 'succeeded', -moved)
  redis.call('HINCRBY', key('count'), 'succeeded', int(-moved))
  count_items(batch_id, 'waiting', moved)
  redis.call('HSET', record, 'next', int(math.min(first, batch_number(batch_id, 'next'))))
end
if next_number <= redis.call('STRLEN', states) then
  redis.call('HSET', record, 'rerunning', int(next_number))
else
  redis.call('HDEL', record, 'rerunning', 'versions')
  end_batch_if_done(batch_id, retention_ms, now_ms())
end
redis.call('HINCRBY', record, 'version', 1)
return 1
