-- Have some of a batch's items done again that other versions made, and look on behind them. -> 1 | 0 when somebody else did
-- ARGV: batch, versions, the first item that was not looked at before, and that is not now, then number of each to be
-- done again and by what it was made, in the items' order
local id, versions, before, after = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local retention_ms = tonumber(ARGV[5])
local record, states = key('batch', id), key('batch', id, 'states')
local batch = redis.call('HMGET', record, 'rerunning', 'versions')
if batch[1] ~= before or batch[2] ~= versions then return 0 end
if #ARGV > 5 then
  local first, moved, made, parts, from = tonumber(ARGV[6]), 0, {}, {}, 1
  local letters = redis.call('GETRANGE', states, int(first - 1), int(ARGV[#ARGV - 1] - 1))
  for i = 6, #ARGV, 2 do
    local place = ARGV[i] - first + 1
    -- One that is none of these any more is done again already.
    if string.sub(letters, place, place) == 's' then
      parts[#parts + 1] = string.sub(letters, from, place - 1)
      parts[#parts + 1] = 'r'
      from, moved, made[ARGV[i + 1]] = place + 1, moved + 1, (made[ARGV[i + 1]] or 0) + 1
    end
  end
  redis.call('SETRANGE', states, int(first - 1), table.concat(parts) .. string.sub(letters, from))
  for name, number in pairs(made) do count_made(id, name, -number) end
  count_item(id, 'succeeded', -moved)
  redis.call('HINCRBY', key('count'), 'succeeded', int(-moved))
  count_item(id, 'waiting', moved)
  redis.call('HSET', record, 'next', int(math.min(first, batch_number(id, 'next'))))
end
if after <= redis.call('STRLEN', states) then
  redis.call('HSET', record, 'rerunning', int(after))
else
  redis.call('HDEL', record, 'rerunning', 'versions')
  end_batch_if_done(id, retention_ms, now_ms())
end
redis.call('HINCRBY', record, 'version', 1)
return 1
