-- Keeps uploads for a batch that is about to be restored.
-- Arguments:
--   batch_id: text
--   uploads: list
-- Returns: 1
-- include lib/uploads

for _, upload_id in ipairs(uploads) do
  if upload_exists(upload_id) then use_upload(upload_id, batch_id) end
end
return 1
