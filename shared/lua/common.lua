-- Begins every script. Owns the names of the keys and the few moves that several scripts make.
-- KEYS[1] is the prefix of all keys; everything else comes in ARGV. Times are Redis's own, in milliseconds.
--
--   job:<id>                      hash     the record; the truth about a job
--   jobs, jobs:<owner>            zset     ids by creation
--   line:<engine>:<class>:<owner> zset     queued jobs that wait to be published, first come first
--   turns:<engine>:<class>        zset     owners that have a line, by when they were last served
--   clock:<engine>:<class>        string   counts the turns
--   streak:<engine>               string   interactive jobs published in a row while bulk ones waited
--   published:<engine>            zset     queued jobs whose message is out, by when
--   turn                          string   counts the publications
--   delayed                       zset     queued jobs that wait for a retry, by when it is due
--   running                       zset     running jobs by the end of their lease
--   settled                       zset     ended jobs by when they expire
--   deleted                       zset     jobs whose objects are still to be removed
--   engines, paused, draining     set      engines that ever had a line; those an operator has stopped
--   workers, worker:<id>          zset, hash   live workers by heartbeat; what each can do
--   pace:<engine>                 string   running average of a job's seconds of work, in ms
--   count, failures               hash     jobs by state; failures by code since the start
--   upload:<id>, upload:<id>:jobs hash, set    an upload; the jobs that use it
--   uploads                       zset     uploads that no job uses, by since when
--   content:<digest>              string   the last job that made just this (worker/earlier_result.py says what this is)
--   usage:<owner>                 hash     what an owner has: `queued` jobs, `bytes` of uploads and outputs
--   audio:<owner>:<day>           string   milliseconds of audio separated for an owner on a day (UTC)
--   permits:<key>:<minute>        string   requests that a key was granted in a minute
--   idempotency:<name>            hash     a request under an Idempotency-Key: who holds it, what it asks, its answer
--   webhooks, webhook:<message>   zset, hash   ends of jobs still to be told to clients, by when; each
--   deliveries:<job>              list     how telling them went
--   fence                         string   the last fence given out
--   key:<id>, keys                hash, zset   API keys, by digest alone; their ids by creation (api_keys.py)
local prefix = KEYS[1]

local function key(...) return prefix .. table.concat({...}, ':') end
local function int(x) return string.format('%d', x) end
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function get(id, ...) return redis.call('HMGET', key('job', id), ...) end
local function set(id, ...)
  -- Every change of a record bumps its version (the ETag) and wakes whoever follows the job.
  redis.call('HSET', key('job', id), ...)
  redis.call('HINCRBY', key('job', id), 'version', 1)
  redis.call('PUBLISH', key('changes'), id)
end
local function count(id, state, by)
  redis.call('HINCRBY', key('count'), state, by)
  if state == 'queued' then redis.call('HINCRBY', key('usage', get(id, 'owner')[1]), 'queued', by) end
end
local function move(id, from, to, ...)
  if from then count(id, from, -1) end
  count(id, to, 1)
  set(id, 'state', to, ...)
end

local function charge(owner, bytes) redis.call('HINCRBY', key('usage', owner), 'bytes', int(bytes)) end
local function stored_bytes(owner) return tonumber(redis.call('HGET', key('usage', owner), 'bytes') or 0) end
local function audio_today(owner) return key('audio', owner, int(math.floor(now_ms() / 86400000))) end
-- Which limit of its owner's keeps a job from its line. -> owner_full | audio_spent, or nothing
local function refusal(owner, max_queued, max_audio_ms)
  if max_queued > 0 and tonumber(redis.call('HGET', key('usage', owner), 'queued') or 0) >= max_queued then
    return 'owner_full'
  end
  if max_audio_ms > 0 and tonumber(redis.call('GET', audio_today(owner)) or 0) >= max_audio_ms then
    return 'audio_spent'
  end
end
local function bytes_of(outputs)
  local bytes = 0
  for _, output in ipairs(cjson.decode(outputs)) do bytes = bytes + output.size_bytes end
  return bytes
end
local function forget_upload(upload)
  local record = redis.call('HMGET', key('upload', upload), 'owner', 'size_bytes')
  if record[1] and record[2] then charge(record[1], -record[2]) end
  redis.call('DEL', key('upload', upload))
end

local function enter_line(id, score)
  local job = get(id, 'engine', 'class', 'owner')
  local engine, class, owner = job[1], job[2], job[3]
  redis.call('ZADD', key('line', engine, class, owner), int(score), id)
  redis.call('SADD', key('engines'), engine)
  local turns = key('turns', engine, class)
  if not redis.call('ZSCORE', turns, owner) then
    -- A newcomer goes behind the owners that wait already, so that coming back often wins nothing.
    redis.call('ZADD', turns, redis.call('INCR', key('clock', engine, class)), owner)
  end
end

local function leave_line(id)
  local job = get(id, 'engine', 'class', 'owner')
  local engine, class, owner = job[1], job[2], job[3]
  local line = key('line', engine, class, owner)
  redis.call('ZREM', line, id)
  if redis.call('ZCARD', line) == 0 then redis.call('ZREM', key('turns', engine, class), owner) end
  redis.call('ZREM', key('published', engine), id)
  redis.call('ZREM', key('delayed'), id)
end

local function holds(id, fence)
  local job = get(id, 'state', 'fence')
  return job[1] == 'running' and job[2] == fence
end

local function ended_by(id, fence, state)
  local job = get(id, 'state', 'fence')
  return job[1] == state and job[2] == fence
end

-- The end of a job that names a webhook is to be told: noted in the same step, so that no end goes untold.
local function announce(id, state, now)
  local url = cjson.decode(get(id, 'request')[1]).webhook_url
  if not url or url == cjson.null then return end
  local message = 'msg_' .. id .. '_' .. redis.call('HINCRBY', key('job', id), 'webhooks', 1)
  redis.call('HSET', key('webhook', message), 'job', id, 'type', 'job.' .. state, 'at_ms', int(now), 'tries', 0)
  redis.call('ZADD', key('webhooks'), int(now), message)
end

local function settle(id, from, state, retention_ms, ...)
  local now = now_ms()
  redis.call('ZREM', key('running'), id)
  redis.call('ZADD', key('settled'), int(now + retention_ms), id)
  move(id, from, state, 'finished_ms', int(now), 'expires_ms', int(now + retention_ms), 'stage', '', ...)
  announce(id, state, now)
end

local function note_error(id, text)
  local before = redis.call('HGET', key('job', id), 'attempt_errors') or ''
  if before ~= '' then text = before .. '\n' .. text end
  redis.call('HSET', key('job', id), 'attempt_errors', text)
end

local function live_slots(engine, since_ms)
  local slots = 0
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), int(since_ms), '+inf')) do
    local w = redis.call('HMGET', key('worker', worker), 'slots', 'engines')
    if w[2] and string.find(',' .. w[2] .. ',', ',' .. engine .. ',', 1, true) then slots = slots + w[1] end
  end
  return slots
end
