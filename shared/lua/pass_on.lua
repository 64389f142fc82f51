-- Whether a worker that has got a published job's message had better leave it to another: it has no free slot, where the
-- song would wait, and another has one. -> {engine, class, id}, whose message the caller must send again, or {}
local id, me, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = get(id, 'state', 'engine', 'class')
local engine, class, now = job[2], job[3], now_ms()
if job[1] ~= 'queued' or not redis.call('ZSCORE', key('published', engine), id) then return {} end
local workers = live_workers(now - alive_ms)
if #workers < 2 then return {} end

local held = {}
for _, running in ipairs(redis.call('ZRANGE', key('running'), 0, -1)) do
  local its = get(running, 'worker', 'class', 'stage')
  -- What is being uploaded has left its slot.
  if its[1] and its[3] ~= 'upload' then
    held[its[1]] = held[its[1]] or {interactive = 0, bulk = 0}
    held[its[1]][its[2]] = held[its[1]][its[2]] + 1
  end
end

local function has_room(worker)
  local slots, for_bulk = slots_of(worker, engine)
  local jobs = held[worker] or {interactive = 0, bulk = 0}
  -- Bulk jobs beyond those have only been fetched, and wait.
  local bulk = math.min(jobs.bulk, for_bulk)
  if class == 'bulk' and bulk >= for_bulk then return false end
  return jobs.interactive + bulk < slots
end

if has_room(me) then return {} end
for _, other in ipairs(workers) do
  if has_room(other) then
    -- Not for ever: one that is said to live may listen no longer.
    if redis.call('HINCRBY', key('job', id), 'passed_on', 1) > 2 * #workers then return {} end
    redis.call('ZADD', key('published', engine), 'XX', int(now), id)
    return {engine, class, id}
  end
end
return {}
