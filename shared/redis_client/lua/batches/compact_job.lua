-- Exchange an ended job's record for its item's result; the detail is in storage. -> 1 | 0
-- ARGV: batch, number, the job's version, result, letter that the item gets, milliseconds of audio and bytes that its
-- outputs have more than those that they replace, bytes of outputs that nobody needs any more, upload or '', what made them
local id, number, version, result, letter = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local audio_ms, bytes, unneeded, upload = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local made, retention_ms = ARGV[10], tonumber(ARGV[11])
local job, record = job_of(id, number), key('batch', id)
local names = {S = 'succeeded', F = 'failed', C = 'canceled', s = 'succeeded', f = 'failed', c = 'canceled'}
if get(job, 'version')[1] ~= version then return 0 end
local before = item_letter(id, number)
-- None, of a batch that was deleted meanwhile.
if before == '' or not string.find('SFC', before, 1, true) then return 0 end
mark_item(id, number, letter)
if string.lower(before) ~= letter then
  for name, by in pairs({[names[before]] = -1, [names[letter]] = 1}) do
    count_item(id, name, by)
    redis.call('HINCRBY', key('count'), name, by)
  end
end
if letter == 's' then count_made(id, made, 1) end
redis.call('SREM', key('batch', id, 'ended'), int(number))
put_result(id, number, result)
redis.call('HINCRBY', record, 'audio_ms', int(audio_ms))
redis.call('HINCRBY', record, 'stored_bytes', int(bytes))
redis.call('HINCRBY', record, 'version', 1)
charge(redis.call('HGET', record, 'owner'), -unneeded)
-- The batch itself holds the upload until it goes.
if upload ~= '' then redis.call('SREM', key('upload', upload, 'jobs'), job) end
forget_job(job)
end_batch_if_done(id, retention_ms, now_ms())
return 1
