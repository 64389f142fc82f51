-- Commit: outputs and state in one write, if the claim still holds. -> 1 | 0
-- Said twice it is still true: a writer whose answer got lost must not take its own commit for somebody else's.
local id, fence, outputs, probed, report = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retention_ms, took, audio_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local content, cached, course = ARGV[9], ARGV[10], ARGV[11]
if ended_by(id, fence, 'succeeded') then return 1 end
if not holds(id, fence) then return 0 end
local job = get(id, 'engine', 'owner')
local engine, owner = job[1], job[2]
local request = cjson.decode(get(id, 'request')[1])

-- Clients make kinds, by the parameters they ask for: those that came last are remembered.
local MAX_KINDS = 500
local function note_kind(kind)
  redis.call('ZADD', key('kinds'), int(now_ms()), kind)
  local gone = redis.call('ZRANGE', key('kinds'), 0, -MAX_KINDS - 1)
  for _, old in ipairs(gone) do redis.call('DEL', key('work', old), key('course', old)) end
  redis.call('ZREMRANGEBYRANK', key('kinds'), 0, -MAX_KINDS - 1)
end

-- What this job showed of how long audio is, and how long its work takes.
local function learn(seconds)
  if type(seconds) ~= 'number' or seconds <= 0 then return end
  note_length(id, seconds)
  local known = get(id, 'kind', 'audio_ms', 'guessed_ms', 'form')
  local upload, guessed_ms = request.source.upload_id, tonumber(known[3] or 0)
  if type(upload) == 'string' and redis.call('EXISTS', key('upload', upload)) == 1 then
    redis.call('HSET', key('upload', upload), 'audio_ms', int(1000 * seconds))
  end
  if guessed_ms > 0 then
    local shown = math.max(0.05, math.min(20, 1000 * seconds / guessed_ms))
    local before = redis.call('HGET', key('lengths'), known[4]) or shown
    redis.call('HSET', key('lengths'), known[4], string.format('%.4f', 0.7 * before + 0.3 * shown))
  end
  if known[1] then note_kind(known[1]) end
  for _, kind in ipairs({engine, known[1] or nil}) do
    if took > 0 then learn_work(kind, tonumber(known[2]), took) end
    if course ~= '' then learn_course(kind, course) end
  end
end

if cached ~= '1' then
  learn(cjson.decode(probed).duration_seconds)
  local pace = tonumber(redis.call('GET', key('pace', engine)) or took)
  redis.call('SET', key('pace', engine), int(0.8 * pace + 0.2 * took))
  local made = key('made', engine, request.format)
  local usual = tonumber(redis.call('GET', made) or bytes_of(outputs))
  redis.call('SET', made, int(0.8 * usual + 0.2 * bytes_of(outputs)))
end
for name in string.gmatch(content, '%S+') do redis.call('SET', key('content', name), id, 'PX', int(retention_ms)) end
local bytes = bytes_of(outputs)
charge(owner, bytes)
if audio_ms > 0 then
  redis.call('INCRBY', audio_today(owner), int(audio_ms))
  redis.call('PEXPIRE', audio_today(owner), 172800000)
end
settle(id, 'running', 'succeeded', retention_ms, 'stored_bytes', int(bytes), 'content', content, 'cached', cached,
  'outputs', outputs, 'probed', probed, 'report', report, 'progress', '1', 'error', '')
return 1
