-- The items of a batch whose turn is near: as many as keep `window` of its jobs in line or running. -> numbers
local id, window = ARGV[1], tonumber(ARGV[2])
local record, states = key('batch', id), key('batch', id, 'states')
local state = redis.call('HGET', record, 'state')
local wanted = window - batch_number(id, 'n_queued') - batch_number(id, 'n_running')
if (state ~= 'reading' and state ~= 'running') or wanted <= 0 or batch_number(id, 'n_waiting') == 0 then return {} end
local numbers, total, from = {}, redis.call('STRLEN', states), batch_number(id, 'next')
while #numbers < wanted and from <= total do
  local slice = redis.call('GETRANGE', states, int(from - 1), int(from + 4094))
  local at = string.find(slice, 'w', 1, true)
  while at and #numbers < wanted do
    numbers[#numbers + 1] = int(from + at - 1)
    at = string.find(slice, 'w', at + 1, true)
  end
  from = from + #slice
end
-- What is before the first that waits need not be looked at again.
local first = numbers[1] or int(total + 1)
if redis.call('HGET', record, 'next') ~= first then redis.call('HSET', record, 'next', first) end
return numbers
