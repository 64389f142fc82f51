-- A job's record, with its place in line and the time left reckoned at this moment.
return record_of(ARGV[1], now_ms() - tonumber(ARGV[2]))
