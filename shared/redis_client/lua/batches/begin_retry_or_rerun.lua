-- Begins a retry or a rerun of a batch. A retry runs failed and canceled items again; advance_change.lua goes through
-- the items. A rerun runs items again that other versions made; the feeder looks for them and calls advance_rerun.lua.
-- A batch that had ended continues at once.
-- Arguments:
--   batch_id: text
--   versions: text, '' for a retry; for a rerun the versions of the engines as JSON
-- Returns: {'yes', 'none' if there is no such item, 'canceling', 'read' for a rerun while jobs read outputs of its
--  jobs, or '' if there is no such batch; the batch's record as a flat list}
-- include lib/clock
-- include lib/record_bytes
-- include lib/batches/items
-- include lib/jobs/read_outputs
-- include lib/webhooks/messages

local record = key('batch', batch_id)
local fields = redis.call('HGETALL', record)
if #fields == 0 then return {'', {}} end
if redis.call('HEXISTS', record, 'canceling') == 1 then return {'canceling', fields} end
-- New outputs would replace those that are read.
if versions ~= '' and has_readers(key('batch', batch_id, 'readers')) then return {'read', fields} end

-- Returns how many succeeded items were made by versions other than these, without those of engines that no longer
-- exist.
local function number_outdated()
  local number, current = batch_number(batch_id, 'n_succeeded'), cjson.decode(versions)
  for i = 1, #fields, 2 do
    local engine, version = string.match(fields[i], '^made_(.-)@(.*)$')
    if engine and (not current[engine] or current[engine] == version) then number = number - fields[i + 1] end
  end
  return number
end

local number
if versions == '' then
  number = batch_number(batch_id, 'n_failed') + batch_number(batch_id, 'n_canceled')
else
  number = number_outdated()
end
if number <= 0 then return {'none', fields} end

redis.call('HSET', record, 'rerun', 1) -- from now on a result may replace an earlier one
-- The batch will have another end, with another message.
charge_batch(batch_id, message_bytes(redis.call('HGET', record, 'request')))
if versions == '' then
  redis.call('HSET', record, 'retrying', 1)
else
  redis.call('HSET', record, 'rerunning', 1, 'versions', versions)
end
local is_read = redis.call('HGET', record, 'read') == '1'
redis.call('HSET', record, 'state', is_read and 'running' or 'reading')
redis.call('HDEL', record, 'ended_ms', 'expires_ms')
redis.call('HINCRBY', record, 'version', 1)
redis.call('ZREM', key('batches', 'settled'), batch_id)
redis.call('ZADD', key('batches', 'live'), int(now_ms()), batch_id)
return {'yes', redis.call('HGETALL', record)}
