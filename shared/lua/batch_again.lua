-- Have items done again: those with one of the letters, or those that are named; a batch that had ended goes on.
-- -> {how many or '', the record as a flat list}
local id, wanted, named = ARGV[1], ARGV[2], ARGV[3]
local record, states = key('batch', id), key('batch', id, 'states')
if redis.call('EXISTS', record) == 0 then return {'', {}} end
local names = {w = 'waiting', s = 'succeeded', f = 'failed', c = 'canceled'}
local moved, total, first = {s = 0, f = 0, c = 0}, 0, nil
local letters = redis.call('GET', states) or ''

local function again(number)
  local letter = string.sub(letters, number, number)
  local lower = string.lower(letter)
  if letter ~= lower then
    redis.call('DEL', key('job', job_of(id, number)))
    redis.call('SREM', key('batch', id, 'ended'), int(number))
  end
  mark_item(id, number, 'w')
  moved[lower], total, first = moved[lower] + 1, total + 1, math.min(first or number, number)
end

if named ~= '' then
  for _, number in ipairs(cjson.decode(named)) do
    if string.sub(letters, number, number) == 's' then again(number) end
  end
else
  local pattern = '[' .. wanted .. string.upper(wanted) .. ']'
  local at = string.find(letters, pattern)
  while at do
    again(at)
    at = string.find(letters, pattern, at + 1)
  end
end
if total > 0 then
  -- From here on results may replace others.
  redis.call('HSET', record, 'rerun', 1)
  for letter, number in pairs(moved) do
    count_item(id, names[letter], -number)
    redis.call('HINCRBY', key('count'), names[letter], int(-number))
  end
  count_item(id, 'waiting', total)
  redis.call('HSET', record, 'next', int(math.min(first, batch_number(id, 'next'))))
  local is_read = redis.call('HGET', record, 'read') == '1'
  redis.call('HSET', record, 'state', is_read and 'running' or 'reading')
  redis.call('HDEL', record, 'ended_ms', 'expires_ms')
  redis.call('ZREM', key('batches', 'settled'), id)
  redis.call('ZADD', key('batches', 'live'), int(now_ms()), id)
end
return {int(total), redis.call('HGETALL', record)}
