-- How many bytes an owner's uploads, outputs, and batches' lists and items take in the storage.
-- include lib/keys

local function charge_stored_bytes(owner, bytes) redis.call('HINCRBY', key('usage', owner), 'bytes', int(bytes)) end

local function stored_bytes(owner) return tonumber(redis.call('HGET', key('usage', owner), 'bytes') or 0) end

-- Returns the size of all outputs in a JSON list.
local function total_bytes(outputs_json)
  local bytes = 0
  for _, output in ipairs(cjson.decode(outputs_json)) do bytes = bytes + output.size_bytes end
  return bytes
end
