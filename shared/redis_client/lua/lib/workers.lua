-- Which workers are alive, and how many slots they have.
-- include lib/keys

local function live_workers(since_ms) return redis.call('ZRANGEBYSCORE', key('workers'), int(since_ms), '+inf') end

-- Returns a worker's slots for an engine, how many of them bulk jobs may take, and what is wrong with the worker or
-- nil. A worker that does not have the engine or cannot reach the storage has no slots.
local function slots_of(worker_id, engine)
  local slots, engines, kept_slots, fault = unpack(
    redis.call('HMGET', key('worker', worker_id), 'slots', 'engines', 'kept_slots', 'fault'))
  if not engines or not string.find(',' .. engines .. ',', ',' .. engine .. ',', 1, true) then return 0, 0, nil end
  if fault and fault ~= '' then return 0, 0, fault end
  return tonumber(slots), slots - (kept_slots or 0)
end

-- Returns the slots of all live workers for an engine, and how many of them bulk jobs may take.
local function live_slots(engine, since_ms)
  local slots, slots_for_bulk = 0, 0
  for _, worker_id in ipairs(live_workers(since_ms)) do
    local its_slots, its_slots_for_bulk = slots_of(worker_id, engine)
    slots, slots_for_bulk = slots + its_slots, slots_for_bulk + its_slots_for_bulk
  end
  return slots, slots_for_bulk
end
