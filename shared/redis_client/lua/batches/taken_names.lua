-- Which marks stand for names of copies that earlier items of a batch have been given. -> {1, 0 or 1 for each}, or {0} when
-- somebody has read on behind the cursor: then what was read here has its marks already.
local id, cursor = ARGV[1], ARGV[2]
if redis.call('HGET', key('batch', id), 'cursor') ~= cursor then return {0} end
local answer = {1}
for i = 3, #ARGV do answer[#answer + 1] = redis.call('SISMEMBER', key('batch', id, 'marks'), ARGV[i]) end
return answer
