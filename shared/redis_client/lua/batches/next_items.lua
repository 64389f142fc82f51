-- The items of a batch whose turn is near: as many as keep `window` of its jobs in line or running. -> numbers
local id, window = ARGV[1], tonumber(ARGV[2])
local record, states = key('batch', id), key('batch', id, 'states')
local state = redis.call('HGET', record, 'state')
local wanted = window - batch_number(id, 'n_queued') - batch_number(id, 'n_running')
if (state ~= 'reading' and state ~= 'running') or wanted <= 0 or batch_number(id, 'n_waiting') == 0 then return {} end
-- Two plain searches, since one for either letter takes ten times as long.
local function next_waiting(slice, from)
  local w, r = string.find(slice, 'w', from, true), string.find(slice, 'r', from, true)
  return w and r and math.min(w, r) or w or r
end
local numbers, total, from = {}, redis.call('STRLEN', states), batch_number(id, 'next')
while #numbers < wanted and from <= total do
  local slice = redis.call('GETRANGE', states, int(from - 1), int(from + 4094))
  local at = next_waiting(slice, 1)
  while at and #numbers < wanted do
    numbers[#numbers + 1] = int(from + at - 1)
    at = next_waiting(slice, at + 1)
  end
  from = from + #slice
end
-- What is before the first that waits need not be looked at again.
local first = numbers[1] or int(total + 1)
if redis.call('HGET', record, 'next') ~= first then redis.call('HSET', record, 'next', first) end
return numbers
