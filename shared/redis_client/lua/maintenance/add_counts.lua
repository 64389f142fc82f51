-- Add to what processes have counted. ARGV: name and number of each
for i = 1, #ARGV, 2 do redis.call('HINCRBYFLOAT', key('tally'), ARGV[i], ARGV[i + 1]) end
return 1
