-- Forget an ended job; its objects are the caller's to remove, and the collector's should the caller die.
-- -> {state before, '', or 'batch' of a batch's job, which goes with its batch; key of the source if no other job uses it}
local id = ARGV[1]
local job = get(id, 'state', 'owner', 'request', 'stored_bytes', 'content', 'batch')
local state = job[1]
if not state then return {'', ''} end
if job[6] then return {'batch', ''} end
if state == 'queued' or state == 'running' then return {state, ''} end
local orphan = ''
local request = cjson.decode(job[3])
local upload = request.source.upload_id
if upload and upload ~= cjson.null then
  redis.call('SREM', key('upload', upload, 'jobs'), id)
  if redis.call('SCARD', key('upload', upload, 'jobs')) == 0 then
    if redis.call('HGET', key('upload', upload), 'implicit') == '1' then
      orphan = request.source.key
      forget_upload(upload)
    else
      redis.call('ZADD', key('uploads'), int(now_ms()), upload)
    end
  end
end
charge(job[2], -(job[4] or 0))
for name in string.gmatch(job[5] or '', '%S+') do
  if redis.call('GET', key('content', name)) == id then redis.call('DEL', key('content', name)) end
end
forget_job(id)
redis.call('DEL', key('deliveries', id))
redis.call('ZREM', key('jobs'), id)
redis.call('ZREM', key('jobs', job[2]), id)
redis.call('ZREM', key('settled'), id)
redis.call('HINCRBY', key('count'), state, -1)
-- The tombstone names the source too, so that a deletion cut short can be finished.
redis.call('ZADD', key('deleted'), int(now_ms()), id .. ' ' .. orphan)
redis.call('PUBLISH', key('changes'), id)
return {state, orphan}
