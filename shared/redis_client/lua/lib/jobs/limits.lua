-- The limits of an owner on new jobs. A limit of 0 means no limit.
-- include lib/clock
-- include lib/record_bytes
-- include lib/stored_bytes

-- Returns the key of the audio that was separated for an owner today (UTC).
local function audio_today_key(owner) return key('audio', owner, int(math.floor(now_ms() / 86400000))) end

-- Returns the limit that refuses a number of new jobs: 'owner_full', 'audio_spent', 'no_room', 'records_full',
-- 'memory_full' or nil.
local function job_refusal(owner, number, max_owner_queued, max_owner_audio_ms, max_owner_stored_bytes,
    max_owner_record_bytes, max_record_bytes)
  local queued = tonumber(redis.call('HGET', key('usage', owner), 'queued') or 0)
  if max_owner_queued > 0 and queued + number > max_owner_queued then return 'owner_full' end
  if max_owner_audio_ms > 0 and tonumber(redis.call('GET', audio_today_key(owner)) or 0) >= max_owner_audio_ms then
    return 'audio_spent'
  end
  if max_owner_stored_bytes > 0 and stored_bytes(owner) >= max_owner_stored_bytes then return 'no_room' end
  return record_refusal(owner, max_owner_record_bytes, max_record_bytes)
end
