-- Exchange an ended job's record for its item's result; the detail is in storage. -> 1 | 0
local id, number, version, result = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local audio_ms, bytes, upload = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local job = job_of(id, number)
if get(job, 'version')[1] ~= version then return 0 end
local letter = item_letter(id, number)
if not string.find('SFC', letter, 1, true) then return 0 end
mark_item(id, number, string.lower(letter))
redis.call('SREM', key('batch', id, 'ended'), int(number))
redis.call('HSET', key('batch', id, 'results'), int(number), result)
redis.call('HINCRBY', key('batch', id), 'audio_ms', int(audio_ms))
redis.call('HINCRBY', key('batch', id), 'stored_bytes', int(bytes))
redis.call('HINCRBY', key('batch', id), 'version', 1)
-- The batch itself holds the upload until it goes.
if upload ~= '' then redis.call('SREM', key('upload', upload, 'jobs'), job) end
redis.call('DEL', key('job', job))
return 1
