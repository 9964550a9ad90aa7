-- Writes an upload that Redis has lost, or an older state of which it came back with, as its owner
-- knows it: a page of its chunks, and with the last page the rest.
--
-- Pages are gathered beside what is there and take its place with the last one: whoever dies between
-- two pages, or restores the same upload at the same time, takes nothing away.
--
-- KEYS: its state, chunks and metadata, and where this restore alone gathers chunks. ARGV: the
-- caller's fence, its rev, when Redis may forget the upload (Unix ms), how many chunks it has, and
-- whether this is the last page (1 or 0), then pairs, each time after their number: chunks; and on
-- the last page fields of the state and of the metadata.
--
-- Answers OK; or FENCED and whose it is; or LOST if pages before this one are gone.
local state, chunks, metadata, pages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local held = redis.call('HMGET', state, 'fence', 'rev')
if is_kept_from(ARGV[1], held[1]) then
    return {'FENCED', held[1]}
end
if tonumber(held[2] or '0') >= tonumber(ARGV[2]) then
    if held[1] ~= ARGV[1] then
        redis.call('HSET', state, 'fence', ARGV[1])
    end
    redis.call('UNLINK', pages)
    return {'OK'}
end

-- So many at a time, as a call takes no more.
local PAIRS_MAX = 1000
-- Pages that nobody goes on with are gone after this.
local PAGES_MS = 600000
local at = 6
local function put_pairs(key)
    local last = at + 2 * tonumber(ARGV[at])
    for first = at + 1, last, 2 * PAIRS_MAX do
        local words = math.min(first + 2 * PAIRS_MAX - 1, last)
        redis.call('HSET', key, unpack(ARGV, first, words))
    end
    at = last + 1
end

put_pairs(pages)
redis.call('PEXPIRE', pages, PAGES_MS)
if ARGV[5] == '1' then
    local count = tonumber(ARGV[4])
    if redis.call('HLEN', pages) ~= count then
        return {'LOST'}
    end
    redis.call('DEL', state, chunks, metadata)
    if count > 0 then
        redis.call('RENAME', pages, chunks)
    end
    put_pairs(state)
    put_pairs(metadata)
    redis.call('HSET', state, 'fence', ARGV[1], 'rev', ARGV[2])
    for _, key in ipairs({state, chunks, metadata}) do
        redis.call('PEXPIREAT', key, ARGV[3])
    end
end
return {'OK'}
