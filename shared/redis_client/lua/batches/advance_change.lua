-- One part of a change to all of a batch, if one is under way: its items' cancel, or the retry of those that failed.
-- Any number may do parts of the same change at once. -> {1 where there is more to do, or 0; the record as a flat list}
local id, letters_at_once, jobs_at_once, retention_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local record, states = key('batch', id), key('batch', id, 'states')
local change = redis.call('HMGET', record, 'canceling', 'retrying')
local cancels, at = change[1], tonumber(change[1] or change[2] or nil)
if not at then return {0, redis.call('HGETALL', record)} end

-- The next letters, no more of them than hold so many jobs, and where in them these are: a letter costs little, a job
-- does not.
local function next_part(jobs_are)
  local part, places = redis.call('GETRANGE', states, int(at - 1), int(at + letters_at_once - 2)), {}
  local place = string.find(part, jobs_are)
  while place do
    places[#places + 1] = place
    if #places == jobs_at_once then return string.sub(part, 1, place), places end
    place = string.find(part, jobs_are, place + 1)
  end
  return part, places
end
local function put(part) redis.call('SETRANGE', states, int(at - 1), part) end

local function cancel_part()
  local part, places = next_part('q')
  local letters, waiting = string.gsub(part, 'w', 'c')
  -- What was to be done again is what it was before; since another version made it, nobody counts it under this one.
  local kept
  letters, kept = string.gsub(letters, 'r', 's')
  if waiting + kept > 0 then
    put(letters)
    count_item(id, 'waiting', -waiting - kept)
    for name, number in pairs({canceled = waiting, succeeded = kept}) do
      count_item(id, name, number)
      redis.call('HINCRBY', key('count'), name, int(number))
    end
  end
  for _, place in ipairs(places) do
    local job = job_of(id, at + place - 1)
    leave_line(job)
    settle(job, get(job, 'state')[1], 'canceled', retention_ms, 'fence', '0')
  end
  return #part
end

local function retry_part()
  local part, places = next_part('[FC]')
  for _, place in ipairs(places) do
    forget_job(job_of(id, at + place - 1))
    redis.call('SREM', key('batch', id, 'ended'), int(at + place - 1))
  end
  local first, moved = string.find(part, '[fcFC]'), 0
  local letters = part
  for pattern, name in pairs({['[fF]'] = 'failed', ['[cC]'] = 'canceled'}) do
    local number
    letters, number = string.gsub(letters, pattern, 'w')
    moved = moved + number
    count_item(id, name, -number)
    redis.call('HINCRBY', key('count'), name, int(-number))
  end
  if moved > 0 then
    put(letters)
    count_item(id, 'waiting', moved)
    redis.call('HSET', record, 'next', int(math.min(at + first - 1, batch_number(id, 'next'))))
  end
  return #part
end

at = at + (cancels and cancel_part() or retry_part())
local field, more = cancels and 'canceling' or 'retrying', at <= redis.call('STRLEN', states)
if more then
  redis.call('HSET', record, field, int(at))
else
  redis.call('HDEL', record, field)
  if cancels then
    end_batch(id, 'canceled', retention_ms, now_ms())
  else
    end_batch_if_done(id, retention_ms, now_ms())
  end
end
return {more and 1 or 0, redis.call('HGETALL', record)}
