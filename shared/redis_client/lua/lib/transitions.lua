-- Follows keys.lua in every script that changes something: the moves that several of them make.

-- What records are reckoned to take in Redis beside what clients say in them, as measured (tests/bench/record_bytes.py): a
-- job as it has ended, with its places in the indexes; each webhook of an end, and the log of its tries; and so on.
local JOB_BYTES, WEBHOOK_BYTES, BATCH_BYTES, UPLOAD_BYTES = 4000, 3000, 4000, 450
local RESULT_BYTES, MARK_BYTES, REPETITION_BYTES = 80, 90, 500

local function set(id, ...)
  -- Every change of a record bumps its version (the ETag, and what readers remember it by) and wakes whoever follows the
  -- job. Versions begin with the clock: a record that comes back under an id of old has no version that was there before.
  redis.call('HSET', key('job', id), ...)
  redis.call('HINCRBY', key('job', id), 'version', 1)
  redis.call('PUBLISH', key('changes'), id)
end
-- Every change of a batch bumps its version too, which begins likewise: one that comes back is no older version.
local function count_item(batch, state, by)
  redis.call('HINCRBY', key('batch', batch), 'n_' .. state, int(by))
  redis.call('HINCRBY', key('batch', batch), 'version', 1)
end
-- How many of the items that succeeded were made by what: an engine, an @, and its version.
local function count_made(batch, made, by)
  if redis.call('HINCRBY', key('batch', batch), 'made_' .. made, int(by)) <= 0 then
    redis.call('HDEL', key('batch', batch), 'made_' .. made)
  end
end
local function count(id, state, by)
  redis.call('HINCRBY', key('count'), state, by)
  local job = get(id, 'owner', 'batch')
  if state == 'queued' then redis.call('HINCRBY', key('usage', job[1]), 'queued', by) end
  if job[2] then count_item(job[2], state, by) end
end
local function move(id, from, to, ...)
  if from then count(id, from, -1) end
  count(id, to, 1)
  set(id, 'state', to, ...)
end

local function charge(owner, bytes) redis.call('HINCRBY', key('usage', owner), 'bytes', int(bytes)) end
local function stored_bytes(owner) return tonumber(redis.call('HGET', key('usage', owner), 'bytes') or 0) end
local function audio_today(owner) return key('audio', owner, int(math.floor(now_ms() / 86400000))) end

-- What the records of an owner take in Redis, and those of all owners, as reckoned when they come and go.
local function charge_records(owner, bytes)
  redis.call('HINCRBY', key('usage', owner), 'records', int(bytes))
  redis.call('INCRBY', key('records'), int(bytes))
end
-- The records of Idempotency-Keys go by themselves after a day: they are counted by the hour in which they came.
local HOUR_MS, KEPT_HOURS = 3600000, 25
local function charge_repetitions(owner, bytes)
  redis.call('HINCRBY', key('repetitions', owner), int(math.floor(now_ms() / HOUR_MS)), int(bytes))
  redis.call('PEXPIRE', key('repetitions', owner), KEPT_HOURS * HOUR_MS)
end
local function repetition_bytes(owner)
  local bytes, first = 0, math.floor(now_ms() / HOUR_MS) - KEPT_HOURS
  local hours = redis.call('HGETALL', key('repetitions', owner))
  for i = 1, #hours, 2 do
    if tonumber(hours[i]) > first then
      bytes = bytes + hours[i + 1]
    else
      redis.call('HDEL', key('repetitions', owner), hours[i])
    end
  end
  return bytes
end
-- Why Redis takes nothing more of an owner (0: no limit). -> records_full | memory_full, or nothing
local function record_refusal(owner, max_owner_bytes, max_bytes)
  if max_owner_bytes > 0 then
    local bytes = tonumber(redis.call('HGET', key('usage', owner), 'records') or 0)
    if bytes + repetition_bytes(owner) >= max_owner_bytes then return 'records_full' end
  end
  if max_bytes > 0 and tonumber(redis.call('GET', key('records')) or 0) >= max_bytes then return 'memory_full' end
end
local function charge_job(id, bytes)
  charge_records(get(id, 'owner')[1], bytes)
  redis.call('HINCRBY', key('job', id), 'record_bytes', int(bytes))
end
local function forget_job(id)
  local job = get(id, 'owner', 'record_bytes')
  if job[2] then charge_records(job[1], -job[2]) end
  redis.call('DEL', key('job', id))
end
local function charge_batch(id, bytes)
  charge_records(redis.call('HGET', key('batch', id), 'owner'), bytes)
  redis.call('HINCRBY', key('batch', id), 'record_bytes', int(bytes))
end

local function drop_result(id, number)
  local results = key('batch', id, 'results')
  charge_batch(id, -redis.call('HSTRLEN', results, number) - RESULT_BYTES)
  redis.call('HDEL', results, number)
end
local function put_result(id, number, result)
  local results = key('batch', id, 'results')
  if redis.call('HEXISTS', results, int(number)) == 1 then drop_result(id, int(number)) end
  redis.call('HSET', results, int(number), result)
  charge_batch(id, #result + RESULT_BYTES)
end

-- Which limit keeps a job from its line. -> owner_full | audio_spent | no_room | records_full | memory_full, or nothing
local function refusal(owner, max_queued, max_audio_ms, max_stored_bytes, max_owner_bytes, max_bytes)
  if max_queued > 0 and tonumber(redis.call('HGET', key('usage', owner), 'queued') or 0) >= max_queued then
    return 'owner_full'
  end
  if max_audio_ms > 0 and tonumber(redis.call('GET', audio_today(owner)) or 0) >= max_audio_ms then
    return 'audio_spent'
  end
  if max_stored_bytes > 0 and stored_bytes(owner) >= max_stored_bytes then return 'no_room' end
  return record_refusal(owner, max_owner_bytes, max_bytes)
end
local function bytes_of(outputs)
  local bytes = 0
  for _, output in ipairs(cjson.decode(outputs)) do bytes = bytes + output.size_bytes end
  return bytes
end
local function charge_upload(upload, owner)
  local bytes = UPLOAD_BYTES
  for _, value in ipairs(redis.call('HVALS', key('upload', upload))) do bytes = bytes + #value end
  redis.call('HSET', key('upload', upload), 'record_bytes', int(bytes))
  charge_records(owner, bytes)
end
local function forget_upload(upload)
  local record = redis.call('HMGET', key('upload', upload), 'owner', 'size_bytes', 'record_bytes')
  if record[1] and record[2] then charge(record[1], -record[2]) end
  if record[1] and record[3] then charge_records(record[1], -record[3]) end
  redis.call('DEL', key('upload', upload))
end

-- Whose line a job stands in. -> engine, class, party
local function place_of(id)
  local job = get(id, 'engine', 'class', 'owner', 'batch')
  return job[1], job[2], job[4] or job[3]
end

-- A bulk job runs no longer, and is not published either.
local function leave_bulk(id) redis.call('SREM', key('bulk', get(id, 'engine')[1]), id) end

local function enter_line(id, score)
  local engine, class, party = place_of(id)
  leave_bulk(id)
  redis.call('ZADD', key('line', engine, class, party), int(score), id)
  redis.call('SADD', key('engines'), engine)
  local turns = key('turns', engine, class)
  if not redis.call('ZSCORE', turns, party) then
    -- A newcomer goes behind those that wait already, so that coming back often wins nothing.
    redis.call('ZADD', turns, redis.call('INCR', key('clock', engine, class)), party)
  end
end

local function leave_line(id)
  local engine, class, party = place_of(id)
  local line = key('line', engine, class, party)
  redis.call('ZREM', line, id)
  if redis.call('ZCARD', line) == 0 then redis.call('ZREM', key('turns', engine, class), party) end
  redis.call('ZREM', key('published', engine), id)
  redis.call('ZREM', key('delayed'), id)
end

-- How much audio a job works on, now that its source's length is known.
local function note_length(id, seconds)
  if type(seconds) ~= 'number' then return end
  local request = cjson.decode(get(id, 'request')[1])
  local start, wanted = request.excerpt_start_seconds, request.excerpt_duration_seconds
  if type(start) == 'number' then seconds = math.max(0, seconds - start) end
  if type(wanted) == 'number' then seconds = math.min(seconds, wanted) end
  redis.call('HSET', key('job', id), 'audio_ms', int(1000 * seconds))
end

local function holds(id, fence)
  local job = get(id, 'state', 'fence')
  return job[1] == 'running' and job[2] == fence
end

local function ended_by(id, fence, state)
  local job = get(id, 'state', 'fence')
  return job[1] == state and job[2] == fence
end

local function names_webhook(request)
  local url = cjson.decode(request).webhook_url
  return url and url ~= cjson.null
end

-- Who is told: the host and port as the URL has them. They bound and order deliveries (take_due.lua); whether the
-- address may be connected to is decided elsewhere.
local function webhook_host(url)
  if type(url) ~= 'string' then return '' end
  return string.lower(string.match(url, '^%w+://([^/?#]+)') or '')
end
-- Newcomers go behind those that wait already, as in enter_line.
local function enter_webhook_line(message, owner, host, due_ms)
  local turn = int(now_us())
  redis.call('ZADD', key('webhooks', 'line', owner, host), int(due_ms), message)
  redis.call('ZADD', key('webhooks', 'hosts', owner), 'NX', turn, host)
  redis.call('ZADD', key('webhooks', 'turns'), 'NX', turn, owner)
end
-- The end of what names a webhook is to be told: noted in the same step, so that no end goes untold.
local function announce(record, id, kind, now)
  local r = redis.call('HMGET', record, 'request', 'owner')
  if not names_webhook(r[1]) then return end
  local message = 'msg_' .. id .. '_' .. redis.call('HINCRBY', record, 'webhooks', 1)
  local owner, host = r[2], webhook_host(cjson.decode(r[1]).webhook_url)
  redis.call('HSET', key('webhook', message), 'job', id, 'type', kind, 'at_ms', int(now), 'tries', 0,
    'owner', owner, 'host', host)
  enter_webhook_line(message, owner, host, now)
end

local function batch_number(batch, name) return tonumber(redis.call('HGET', key('batch', batch), name) or 0) end
local function end_batch(batch, state, retention_ms, now)
  redis.call('HSET', key('batch', batch), 'state', state, 'ended_ms', int(now), 'expires_ms', int(now + retention_ms))
  redis.call('HINCRBY', key('batch', batch), 'version', 1)
  redis.call('ZADD', key('batches', 'settled'), int(now + retention_ms), batch)
  announce(key('batch', batch), batch, 'batch.ended', now)
end
-- A batch ends with the last of its items, once all of its manifest is read.
local function end_batch_if_done(batch, retention_ms, now)
  local record = redis.call('HMGET', key('batch', batch), 'state', 'retrying', 'rerunning')
  -- What goes through the items may yet find some to be done again.
  if record[1] ~= 'running' or record[2] or record[3] then return end
  for _, state in ipairs({'waiting', 'queued', 'running'}) do
    if batch_number(batch, 'n_' .. state) > 0 then return end
  end
  -- Where copies of the stems go elsewhere, an item is done when they are there.
  if redis.call('HGET', key('batch', batch), 'exports') == '1' and redis.call('EXISTS', key('batch', batch, 'ended')) == 1
  then
    return
  end
  end_batch(batch, 'ended', retention_ms, now)
end
-- The number of an item, counted from 1, is the end of its job's id.
local function item_of(id) return tonumber(string.sub(id, 25), 16) end
local function job_of(batch, number) return string.sub(batch, 1, 24) .. string.format('%08x', number) end
local function item_letter(batch, number)
  return redis.call('GETRANGE', key('batch', batch, 'states'), int(number - 1), int(number - 1))
end
local function is_waiting(letter) return letter == 'w' or letter == 'r' end
local function mark_item(batch, number, letter)
  redis.call('SETRANGE', key('batch', batch, 'states'), int(number - 1), letter)
end

-- Whoever waited for what this job makes looks anew.
local function release_twins(id)
  local name = string.match(get(id, 'content')[1] or '', '^%S+')
  if not name or redis.call('GET', key('making', name)) ~= id then return end
  for _, twin in ipairs(redis.call('SMEMBERS', key('twins', name))) do
    if redis.call('ZREM', key('delayed'), twin) == 1 then enter_line(twin, get(twin, 'created_ms')[1]) end
  end
  redis.call('DEL', key('making', name), key('twins', name))
end

-- A job's end may have more to tell than was reckoned with: many outputs, long errors.
local INDEX_BYTES = 1700
local function charge_what_came(id)
  local bytes = INDEX_BYTES
  for _, value in ipairs(redis.call('HVALS', key('job', id))) do bytes = bytes + #value end
  local more = bytes - tonumber(get(id, 'record_bytes')[1] or bytes)
  if more > 0 then charge_job(id, more) end
end

local function settle(id, from, state, retention_ms, ...)
  local now, batch = now_ms(), get(id, 'batch')[1]
  redis.call('ZREM', key('running'), id)
  leave_bulk(id)
  release_twins(id)
  move(id, from, state, 'finished_ms', int(now), 'stage', '', ...)
  if batch then
    mark_item(batch, item_of(id), string.upper(string.sub(state, 1, 1)))
    redis.call('SADD', key('batch', batch, 'ended'), int(item_of(id)))
    end_batch_if_done(batch, retention_ms, now)
  else
    redis.call('HSET', key('job', id), 'expires_ms', int(now + retention_ms))
    redis.call('ZADD', key('settled'), int(now + retention_ms), id)
  end
  charge_what_came(id)
  announce(key('job', id), id, 'job.' .. state, now)
end

local function note_error(id, text)
  local before = redis.call('HGET', key('job', id), 'attempt_errors') or ''
  if before ~= '' then text = before .. '\n' .. text end
  redis.call('HSET', key('job', id), 'attempt_errors', text)
end
