-- A job's record, unless its reader knows this version of it, with its place in line and the time left reckoned at this
-- moment.
return record_of(ARGV[1], now_ms() - tonumber(ARGV[2]), ARGV[3])
