-- Forget an upload that no job uses: its object was taken back. -> 1 | 0
local upload = ARGV[1]
if redis.call('SCARD', key('upload', upload, 'jobs')) > 0 then return 0 end
forget_upload(upload)
redis.call('ZREM', key('uploads'), upload)
return 1
