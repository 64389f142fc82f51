-- Begins every script. Owns the names of the keys.
-- KEYS[1] is the prefix of all keys; everything else comes in ARGV. Times are Redis's own, in milliseconds.
--
--   job:<id>                      hash     the record; the truth about a job
--   jobs, jobs:<owner>            zset     ids by creation
--   line:<engine>:<class>:<party> zset     queued jobs that wait to be published, first come first
--   turns:<engine>:<class>        zset     parties that have a line, by when they were last served; a party is an owner,
--                                          or a batch: its jobs have a line of their own
--   clock:<engine>:<class>        string   counts the turns
--   bulk:<engine>                 set      bulk jobs that are published or run: they never fill the workers
--   published:<engine>            zset     queued jobs whose message is out, by when
--   turn                          string   counts the publications
--   delayed                       zset     queued jobs that wait for a retry, by when it is due
--   running                       zset     running jobs by the end of their lease
--   settled                       zset     ended jobs by when they expire; those of batches expire with their batch
--   deleted                       zset     jobs whose objects are still to be removed
--   engines, paused, draining     set      engines that ever had a line; those an operator has stopped
--   workers, worker:<id>          zset, hash   live workers by heartbeat; what each can do
--   pace:<engine>                 string   running average of a job's seconds of work, in ms
--   work:<kind>, course:<kind>    hash, string   what a job's work takes by the length of its audio, and how it goes (work_statistics.lua);
--                                          a kind is an engine, or an engine with a preset and parameters
--   lengths                       hash     by the ending of a file's name: how far the guess from its size is off
--   count, failures               hash     jobs by state; failures by code since the start
--   made:<engine>:<format>        string   running average of the bytes that a job makes
--   upload:<id>, upload:<id>:jobs hash, set    an upload; the jobs that use it
--   uploads                       zset     uploads that no job uses, by since when
--   content:<digest>              string   the last job that made just this (worker/jobs/result_cache.py says what this is)
--   making:<digest>               string   the job that works on just this
--   twins:<digest>                set      jobs that wait for its end, since they ask for the same
--   usage:<owner>                 hash     what an owner has: `queued` jobs, `bytes` of uploads and outputs, `records`: what
--                                          its records are reckoned to take here, in bytes
--   records                       string   the same of all owners
--   repetitions:<owner>           hash     bytes of its idempotency records, by the hour in which they came
--   kinds                         zset     kinds that something has been learnt of, by when
--   audio:<owner>:<day>           string   milliseconds of audio separated for an owner on a day (UTC)
--   permits:<key>:<minute>        string   requests that a key was granted in a minute
--   idempotency:<name>            hash     a request under an Idempotency-Key: who holds it, what it asks, what it has made
--   webhook:<message>             hash     an end of a job or batch that is still to be told to a client
--   webhooks                      zset     messages that wait for a retry or are under way, by when they are due (again)
--   webhooks:line:<owner>:<host>  zset     messages that are due, by since when
--   webhooks:hosts:<owner>        zset     hosts that an owner has a line to, by when they were last served, in microseconds
--   webhooks:turns                zset     owners that have a line, by the same
--   deliveries:<job>              list     how telling them went
--   batch:<id>                    hash     a batch: what was asked, `n_<state>` items, how far it was read and fed; how many
--                                          that succeeded each version of an engine made (`made_<engine>@<version>`); how far
--                                          a change to all of it has come (`canceling`, `retrying`, `rerunning`: the next item)
--   batch:<id>:states             string   a letter for each item, in the manifest's order: w(aiting), r (waits too, and has
--                                          what a rerun is to replace), q (a job of it is in line or runs),
--                                          s(ucceeded), f(ailed), c(anceled), i(nvalid); in capitals while the ended job's
--                                          record is still here
--   batch:<id>:ended              set      numbers of the items in capitals
--   batch:<id>:results            hash     how items ended, by number, until their chunk's results are in storage
--   batch:<id>:chunks             hash     chunks whose results are in storage, and in which version
--   batch:<id>:marks              set      while its manifest is read: what exported copies are called, as digests
--   lock:batch:<id>               string   who works on a batch at the moment
--   batches, batches:<owner>      zset     batches by creation
--   batches:live, batches:settled zset     batches that somebody has to work on; those that have ended, by when they expire
--   fence                         string   the last fence given out
--   away                          string   when a worker last came back to a Redis that had been away for it
--   key:<id>, keys                hash, zset   API keys, by digest alone; their ids by creation (api_keys.py)
--   tally                         hash     what processes have counted (counters.py)
--   instance, lock:collector      string   the storage that this Redis belongs to; whose turn it is to collect (garbage_collector.py)
--   changes                       channel  ids of jobs that have changed (job_change_feed.py)
local prefix = KEYS[1]

local function key(...) return prefix .. table.concat({...}, ':') end
local function int(x) return string.format('%d', x) end
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
local function get(id, ...) return redis.call('HMGET', key('job', id), ...) end

local function live_workers(since_ms) return redis.call('ZRANGEBYSCORE', key('workers'), int(since_ms), '+inf') end
-- The slots of a worker if it has an engine, and how many of them bulk jobs may take. A worker that cannot reach the
-- storage has none, and says what is wrong. -> slots, slots for bulk jobs, fault or nil
local function slots_of(worker, engine)
  local w = redis.call('HMGET', key('worker', worker), 'slots', 'engines', 'kept_slots', 'fault')
  if not w[2] or not string.find(',' .. w[2] .. ',', ',' .. engine .. ',', 1, true) then return 0, 0, nil end
  if w[4] and w[4] ~= '' then return 0, 0, w[4] end
  return tonumber(w[1]), w[1] - (w[3] or 0)
end
-- The same of all live workers.
local function live_slots(engine, since_ms)
  local slots, for_bulk = 0, 0
  for _, worker in ipairs(live_workers(since_ms)) do
    local its, its_for_bulk = slots_of(worker, engine)
    slots, for_bulk = slots + its, for_bulk + its_for_bulk
  end
  return slots, for_bulk
end
