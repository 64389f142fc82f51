-- Whether a worker that has got a published job's message had better leave it to another: it has no free slot, where the
-- song would wait, and another has one. -> {engine, class, id}, whose message the caller must send again, or {}
local id, me, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = get(id, 'state', 'engine', 'class')
local engine, class, now = job[2], job[3], now_ms()
if job[1] ~= 'queued' or not redis.call('ZSCORE', key('published', engine), id) then return {} end
local workers = live_workers(now - alive_ms)
if #workers < 2 then return {} end
local held = jobs_held()
if has_room(me, engine, class, held) or not another_has_room(workers, me, engine, class, held) then return {} end
-- Not for ever: one that is said to live may listen no longer.
if redis.call('HINCRBY', key('job', id), 'passed_on', 1) > 2 * #workers then return {} end
redis.call('ZADD', key('published', engine), 'XX', int(now), id)
return {engine, class, id}
