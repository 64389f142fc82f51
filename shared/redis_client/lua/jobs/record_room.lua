-- Why Redis takes nothing more of an owner. -> records_full | memory_full | ''
return record_refusal(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])) or ''
