-- Forget uploads that no job has used for a while. -> the keys of their objects
local before = now_ms() - tonumber(ARGV[1])
local keys = {}
for _, upload in ipairs(redis.call('ZRANGEBYSCORE', key('uploads'), '-inf', int(before), 'LIMIT', 0, 500)) do
  keys[#keys + 1] = redis.call('HGET', key('upload', upload), 'key') or ('uploads/' .. upload)
  forget_upload(upload)
  redis.call('ZREM', key('uploads'), upload)
end
return keys
