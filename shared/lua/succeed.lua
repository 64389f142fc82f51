-- Commit: outputs and state in one write, if the claim still holds. -> 1 | 0
-- Said twice it is still true: a writer whose answer got lost must not take its own commit for somebody else's.
local id, fence, outputs, probed, report = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retention_ms, took, audio_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local content, cached = ARGV[9], ARGV[10]
if ended_by(id, fence, 'succeeded') then return 1 end
if not holds(id, fence) then return 0 end
local job = get(id, 'engine', 'owner')
local engine, owner = job[1], job[2]
if cached ~= '1' then
  local pace = tonumber(redis.call('GET', key('pace', engine)) or took)
  redis.call('SET', key('pace', engine), int(0.8 * pace + 0.2 * took))
  local made = key('made', engine, cjson.decode(get(id, 'request')[1]).format)
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
