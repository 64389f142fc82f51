-- How many jobs of an engine and class wait, and since when the oldest does. -> {waiting, oldest in ms}
local engine, class = ARGV[1], ARGV[2]
local waiting, oldest = 0, now_ms()
for _, owner in ipairs(redis.call('ZRANGE', key('turns', engine, class), 0, -1)) do
  local line = key('line', engine, class, owner)
  waiting = waiting + redis.call('ZCARD', line)
  local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) < oldest then oldest = tonumber(first[2]) end
end
return {waiting, int(oldest)}
