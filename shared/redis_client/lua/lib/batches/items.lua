-- The items of a batch: their numbers, their letters in batch:<id>:states, and the counts in the batch's record.
-- include lib/keys

-- Every change of a batch increases its version, which begins with the time as a job's does.
local function count_items(batch_id, state, by)
  redis.call('HINCRBY', key('batch', batch_id), 'n_' .. state, int(by))
  redis.call('HINCRBY', key('batch', batch_id), 'version', 1)
end

-- Counts succeeded items by what made them: an engine, an @, and its version.
local function count_items_made_by(batch_id, made_by, by)
  if redis.call('HINCRBY', key('batch', batch_id), 'made_' .. made_by, int(by)) <= 0 then
    redis.call('HDEL', key('batch', batch_id), 'made_' .. made_by)
  end
end

-- Returns a number in a batch's record; 0 if it is missing.
local function batch_number(batch_id, field) return tonumber(redis.call('HGET', key('batch', batch_id), field) or 0) end

-- The number of an item, counted from 1, is the end of its job's id.
local function item_number(job_id) return tonumber(string.sub(job_id, 25), 16) end
local function item_job_id(batch_id, number) return string.sub(batch_id, 1, 24) .. string.format('%08x', number) end

-- Returns an item's letter; '' if there is no such item.
local function item_letter(batch_id, number)
  return redis.call('GETRANGE', key('batch', batch_id, 'states'), int(number - 1), int(number - 1))
end
local function set_item_letter(batch_id, number, letter)
  redis.call('SETRANGE', key('batch', batch_id, 'states'), int(number - 1), letter)
end
local function is_waiting(letter) return letter == 'w' or letter == 'r' end
