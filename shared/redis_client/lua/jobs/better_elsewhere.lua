-- Whether a claimed job, which has been fetched and waits for a slot of its worker, would begin sooner with another: that
-- one has a free slot, and nothing that is published is about to take it. -> 1 | 0
local id, fence, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not holds(id, fence) then return 0 end
local job = get(id, 'engine', 'class', 'worker')
local engine, class, me = job[1], job[2], job[3]
local workers = live_workers(now_ms() - alive_ms)
if #workers < 2 or redis.call('ZCARD', key('published', engine)) > 0 then return 0 end
local held = jobs_held()
if held[me] then held[me][class] = held[me][class] - 1 end
if has_room(me, engine, class, held) then return 0 end
return another_has_room(workers, me, engine, class, held) and 1 or 0
