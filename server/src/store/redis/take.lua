-- Takes those steps of one upload that weren't taken before, all or none.
--
-- KEYS: its state, chunks, metadata, lost chunks and parts. ARGV: the caller's fence, the rev of the first step, the
-- time of the steps (Unix ms), when Redis may forget the upload (Unix ms), and the steps: each its
-- name, how many words follow, and those.
--
-- Answers OK, and OVER if nothing can come of the upload any more; or FENCED and whose it is; or GAP
-- and the rev that it has.
local state, chunks, metadata, lost, parts = unpack(KEYS)
local fence, first_rev, forget_ms = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local held = redis.call('HMGET', state, 'fence', 'rev', 'state')
local rev = tonumber(held[2] or '0')
if is_kept_from(fence, held[1]) then
    return {'FENCED', held[1]}
end
if held[1] and held[1] ~= fence then
    redis.call('HSET', state, 'fence', fence)
end
local is_new = rev == 0 and ARGV[5]
if first_rev > rev + 1 or (is_new and is_new ~= 'create') then
    return {'GAP', tostring(rev)}
end

-- Sets a field; an empty word takes it away.
local function put(field, word)
    if word == '' then
        redis.call('HDEL', state, field)
    else
        redis.call('HSET', state, field, word)
    end
end

local function put_object(at)
    put('object_bytes', ARGV[at])
    put('object_crc64nvme', ARGV[at + 1])
    put('object_sha256', ARGV[at + 2])
    put('object_etag', ARGV[at + 3])
    put('object_version_id', ARGV[at + 4])
end

-- Fields and values, as many pairs as the word before them says; where they end.
local function put_pairs(key, at)
    local last = at + 2 * tonumber(ARGV[at])
    redis.call('HSET', key, unpack(ARGV, at + 1, last))
    return last + 1
end

local is_pending = held[3] == 'PENDING'
local ends = false
-- Keys that may be new, and then have no time to live.
local begun = {}
-- Whether chunks must come again as they were; nil until somebody asks.
local has_lost
local take = {}

function take.create(at)
    put_pairs(metadata, put_pairs(state, at))
    redis.call('HSET', state, 'fence', fence)
    redis.call('PEXPIREAT', state, forget_ms)
    redis.call('PEXPIREAT', metadata, forget_ms)
    is_pending = true
end

function take.put_chunk(at)
    redis.call('HSET', chunks, ARGV[at], ARGV[at + 1])
    if ARGV[at + 2] ~= '' then
        redis.call('HSETNX', state, 'total_chunks', ARGV[at + 2])
    end
    if is_pending then
        put('state', 'UPLOADING')
        is_pending = false
    end
    begun[chunks] = true
    if has_lost == nil then
        has_lost = redis.call('EXISTS', lost) == 1
    end
    if has_lost then
        redis.call('HDEL', lost, ARGV[at])
    end
end

function take.lose_chunk(at)
    redis.call('HDEL', chunks, ARGV[at])
end

-- Behind the attempt stand its length and its CRCs.
function take.bind_chunk(at)
    local record = redis.call('HGET', chunks, ARGV[at])
    local known = record and string.match(record, '^%d+ (%d+ %x+ %x+) ')
    if known then
        redis.call('HSET', lost, ARGV[at], known)
        redis.call('HDEL', chunks, ARGV[at])
        begun[lost], has_lost = true, true
    end
end

function take.begin_multipart(at)
    put('multipart_id', ARGV[at])
end

-- Parts may be alike but for their numbers, and one number is one part.
function take.plan_part(at)
    redis.call('ZREMRANGEBYSCORE', parts, ARGV[at], ARGV[at])
    redis.call('ZADD', parts, ARGV[at], ARGV[at + 1])
    begun[parts] = true
end

function take.store_part(at)
    local planned = redis.call('ZRANGEBYSCORE', parts, ARGV[at], ARGV[at])[1]
    if planned then
        redis.call('ZREM', parts, planned)
        redis.call('ZADD', parts, ARGV[at], string.match(planned, '^%d+ %d+') .. ' ' .. ARGV[at + 1])
        begun[parts] = true
    end
end

-- The place is the record's end.
function take.move_chunk(at)
    local number, attempt, place = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local record = redis.call('HGET', chunks, number)
    local sums = record and string.match(record, '^' .. attempt .. ' %S+ %S+ %S+ %S+ ')
    if sums then
        redis.call('HSET', chunks, number, sums .. place)
    end
end

function take.fix_total(at)
    put('total_chunks', ARGV[at])
    if ARGV[at + 1] ~= '' then
        redis.call('HSET', state, 'sha256', ARGV[at + 1], 'hash', '1')
    end
end

function take.hash_state(at)
    redis.call('HSET', state, 'hash_state', ARGV[at])
end

function take.completing(at)
    put('state', 'COMPLETING')
    is_pending = false
    put_object(at)
end

function take.completed(at)
    redis.call('HSET', state, 'state', 'COMPLETED', 'cleanup_pending', '1')
    is_pending = false
    put_object(at)
    ends = true
end

-- Its state, and why; a message without a reason is none.
function take.ended(at)
    redis.call('HSET', state, 'state', ARGV[at], 'cleanup_pending', '1')
    is_pending = false
    redis.call('HDEL', state, 'object_bytes', 'object_crc64nvme', 'object_sha256')
    redis.call('HDEL', state, 'object_etag', 'object_version_id')
    redis.call('HDEL', state, 'error_reason', 'error_message')
    if ARGV[at + 1] ~= '' then
        redis.call('HSET', state, 'error_reason', ARGV[at + 1], 'error_message', ARGV[at + 2])
    end
    ends = true
end

function take.cleaned_up()
    put('cleanup_pending', '0')
    redis.call('UNLINK', lost, parts)
    has_lost = false
    ends = true
end

local at, step_rev, cleans = 5, first_rev, false
while at <= #ARGV do
    local words = tonumber(ARGV[at + 1])
    if step_rev > rev then
        take[ARGV[at]](at + 2)
    end
    cleans = cleans or ARGV[at] == 'cleaned_up'
    at, step_rev = at + 2 + words, step_rev + 1
end
if step_rev - 1 > rev then
    redis.call('HSET', state, 'rev', step_rev - 1, 'update_ms', ARGV[3])
    for key in pairs(begun) do
        redis.call('PEXPIREAT', key, forget_ms, 'NX')
    end
    if ends then
        for _, key in ipairs(KEYS) do
            redis.call('PEXPIREAT', key, forget_ms)
        end
    end
end
if cleans then
    local open = {PENDING = true, UPLOADING = true, COMPLETING = true}
    local stands = redis.call('HMGET', state, 'state', 'cleanup_pending')
    if not open[stands[1]] and stands[2] == '0' then
        return {'OK', 'OVER'}
    end
end
return {'OK'}
