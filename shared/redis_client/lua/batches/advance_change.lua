-- Applies the next part of a change to a whole batch, if one is recorded: its cancel, or the retry of items that
-- failed or were canceled. Several processes may apply parts of the same change.
-- Arguments:
--   batch_id: text
--   letters_at_once: number, of items that one part looks at
--   jobs_at_once: number, of jobs that one part ends or deletes; a job takes far longer than a letter
--   retention_ms: number, how long an ended job or batch is kept
-- Returns: {1 if there is more to do or 0, the batch's record as a flat list}
-- include lib/clock
-- include lib/batches/end
-- include lib/jobs/end

local record, states = key('batch', batch_id), key('batch', batch_id, 'states')
local canceling, retrying = unpack(redis.call('HMGET', record, 'canceling', 'retrying'))
local first = tonumber(canceling or retrying or nil) -- the number of the first item of this part
if not first then return {0, redis.call('HGETALL', record)} end

-- Returns the letters of this part, and the numbers of the items among them whose jobs must be changed: their letters
-- match `job_letters`. The part ends with the last job that it may change.
local function next_part(job_letters)
  local letters = redis.call('GETRANGE', states, int(first - 1), int(first + letters_at_once - 2))
  local numbers = {}
  local place = string.find(letters, job_letters)
  while place do
    numbers[#numbers + 1] = first + place - 1
    if #numbers == jobs_at_once then return string.sub(letters, 1, place), numbers end
    place = string.find(letters, job_letters, place + 1)
  end
  return letters, numbers
end

local function put_letters(letters) redis.call('SETRANGE', states, int(first - 1), letters) end

-- Counts items that leave or enter an ended state, in the batch and among all jobs.
local function count_ended_items(state, by)
  count_items(batch_id, state, by)
  redis.call('HINCRBY', key('count'), state, int(by))
end

-- Cancels the items of this part. Returns how many letters it has.
local function cancel_part()
  local part, numbers = next_part('q')
  local letters, canceled = string.gsub(part, 'w', 'c')
  -- An item that waits for a rerun has a result, and keeps it. Another version made that result, so it is not counted
  -- as made by the version that the batch names now.
  local kept
  letters, kept = string.gsub(letters, 'r', 's')
  if canceled + kept > 0 then
    put_letters(letters)
    count_items(batch_id, 'waiting', -canceled - kept)
    count_ended_items('canceled', canceled)
    count_ended_items('succeeded', kept)
  end
  for _, number in ipairs(numbers) do
    local job_id = item_job_id(batch_id, number)
    local state = job_fields(job_id, 'state')
    -- The cancel of an item's source has canceled the item too.
    if state == 'queued' or state == 'running' then
      leave_queue(job_id)
      end_job(job_id, state, 'canceled', retention_ms, 'fence', '0')
    end
  end
  return #part
end

-- Makes failed and canceled items of this part wait again. Returns how many letters it has.
local function retry_part()
  local part, numbers = next_part('[FC]')
  for _, number in ipairs(numbers) do
    delete_job_record(item_job_id(batch_id, number))
    redis.call('SREM', key('batch', batch_id, 'ended'), int(number))
  end
  local letters, failed = string.gsub(part, '[fF]', 'w')
  local canceled
  letters, canceled = string.gsub(letters, '[cC]', 'w')
  count_ended_items('failed', -failed)
  count_ended_items('canceled', -canceled)
  if failed + canceled > 0 then
    put_letters(letters)
    count_items(batch_id, 'waiting', failed + canceled)
    local first_waiting = first + string.find(part, '[fcFC]') - 1
    redis.call('HSET', record, 'next', int(math.min(first_waiting, batch_number(batch_id, 'next'))))
  end
  return #part
end

local next_number = first + (canceling and cancel_part() or retry_part())
local field = canceling and 'canceling' or 'retrying'
if next_number <= redis.call('STRLEN', states) then
  redis.call('HSET', record, field, int(next_number))
  return {1, redis.call('HGETALL', record)}
end
redis.call('HDEL', record, field)
if canceling then
  end_batch(batch_id, 'canceled', retention_ms, now_ms())
else
  end_batch_if_done(batch_id, retention_ms, now_ms())
end
return {0, redis.call('HGETALL', record)}
