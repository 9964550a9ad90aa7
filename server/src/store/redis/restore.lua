#!lua flags=allow-oom
-- Writes an upload that Redis has lost, or an older state of which it came back with, as its owner
-- knows it: a page of its chunks, and with the last page the rest.
--
-- KEYS: its state, chunks and metadata. ARGV: the caller's fence, its rev, when Redis may forget
-- the upload (Unix ms), whether this is the first page and whether it is the last (1 or 0), then
-- pairs, each time after their number: chunks; and on the last page fields of the state and of the
-- metadata.
--
-- Answers OK; or FENCED and whose it is.
local state, chunks, metadata = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', state, 'fence', 'rev')
if held[1] and held[1] ~= ARGV[1] then
    return {'FENCED', held[1]}
end
if tonumber(held[2] or '0') >= tonumber(ARGV[2]) then
    return {'OK'}
end

-- So many at a time, as a call takes no more.
local PAIRS_MAX = 1000
local at = 6
local function put_pairs(key)
    local last = at + 2 * tonumber(ARGV[at])
    for first = at + 1, last, 2 * PAIRS_MAX do
        local words = math.min(first + 2 * PAIRS_MAX - 1, last)
        redis.call('HSET', key, unpack(ARGV, first, words))
    end
    at = last + 1
end

if ARGV[4] == '1' then
    redis.call('DEL', chunks)
end
put_pairs(chunks)
if ARGV[5] == '1' then
    redis.call('DEL', state, metadata)
    put_pairs(state)
    put_pairs(metadata)
    redis.call('HSET', state, 'fence', ARGV[1], 'rev', ARGV[2])
end
for _, key in ipairs(KEYS) do
    redis.call('PEXPIREAT', key, ARGV[3])
end
return {'OK'}
