-- Put back the record of an ended job from what storage tells of it. -> restored | exists
local id, owner, engine, class, request = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state, created, finished, retention_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local outputs, probed, report, err, fence, attempt = ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local started, attempt_errors, cached = ARGV[16], ARGV[17], ARGV[18]
if redis.call('EXISTS', key('job', id)) == 1 then return 'exists' end
redis.call('HSET', key('job', id), 'schema', 1, 'request', request, 'owner', owner, 'engine', engine,
  'class', class, 'created_ms', int(created), 'version', int(now_ms()), 'attempt', attempt, 'losses', 0, 'fence', fence,
  'progress', state == 'succeeded' and '1' or '0', 'outputs', outputs, 'probed', probed, 'report', report,
  'error', err, 'attempt_errors', attempt_errors, 'cached', cached,
  'finished_ms', int(finished), 'expires_ms', int(finished + retention_ms),
  'stored_bytes', int(bytes_of(outputs)))
if started ~= '0' then redis.call('HSET', key('job', id), 'started_ms', started) end
charge(owner, bytes_of(outputs))
charge_job(id, JOB_BYTES + #request)
redis.call('ZADD', key('jobs'), int(created), id)
redis.call('ZADD', key('jobs', owner), int(created), id)
redis.call('ZADD', key('settled'), int(finished + retention_ms), id)
redis.call('SADD', key('engines'), engine)
-- Fences given out from now on must be above every one that storage knows.
if tonumber(redis.call('GET', key('fence')) or 0) < tonumber(fence) then redis.call('SET', key('fence'), fence) end
local source = cjson.decode(request).source
if source.upload_id and source.upload_id ~= cjson.null then
  if redis.call('EXISTS', key('upload', source.upload_id)) == 0 then
    redis.call('HSET', key('upload', source.upload_id), 'key', source.key, 'filename', source.filename,
      'implicit', '1', 'owner', owner, 'size_bytes', int(source.size_bytes))
    charge(owner, source.size_bytes)
    charge_upload(source.upload_id, owner)
  end
  redis.call('SADD', key('upload', source.upload_id, 'jobs'), id)
end
move(id, nil, state)
return 'restored'
