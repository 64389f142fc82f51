-- Forget some of the ended jobs that a deleted batch has left. -> how many there still are
local id, limit = ARGV[1], tonumber(ARGV[2])
local ended = key('batch', id, 'ended')
if redis.call('EXISTS', key('batch', id)) == 1 then return 0 end
for _, number in ipairs(redis.call('SPOP', ended, limit)) do
  local job = job_of(id, tonumber(number))
  local left = get(job, 'owner', 'stored_bytes')
  if left[1] then charge(left[1], -(left[2] or 0)) end
  forget_job(job)
end
return redis.call('SCARD', ended)
