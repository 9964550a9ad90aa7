-- Writes an upload that Redis has lost, or an older state of which it came back with, as its owner
-- knows it: a page of its chunks, and with the last page the rest.
--
-- Pages are gathered beside what is there and take its place with the last one: whoever dies between
-- two pages, or restores the same upload at the same time, takes nothing away.
--
-- KEYS: its state, chunks, metadata, lost chunks and parts, and where this restore alone gathers
-- chunks, lost chunks and parts. ARGV: the caller's fence, its rev, when Redis may forget the upload
-- (Unix ms), how many chunks, lost chunks and parts it has, and whether this is the last page (1 or
-- 0), then pairs, each time after their number: chunks, lost chunks, parts after their numbers; and on
-- the last page fields of the state and of the metadata.
--
-- Answers OK; or FENCED and whose it is; or LOST if pages before this one are gone.
local state, chunks, metadata, lost, parts = unpack(KEYS, 1, 5)
-- Where each gathers, where it comes to, and what adds to it and counts it.
local gathered = {
    {from = KEYS[6], to = chunks, add = 'HSET', count = 'HLEN'},
    {from = KEYS[7], to = lost, add = 'HSET', count = 'HLEN'},
    {from = KEYS[8], to = parts, add = 'ZADD', count = 'ZCARD'},
}
local held = redis.call('HMGET', state, 'fence', 'rev')
if is_kept_from(ARGV[1], held[1]) then
    return {'FENCED', held[1]}
end
if tonumber(held[2] or '0') >= tonumber(ARGV[2]) then
    if held[1] ~= ARGV[1] then
        redis.call('HSET', state, 'fence', ARGV[1])
    end
    redis.call('UNLINK', unpack(KEYS, 6, 8))
    return {'OK'}
end

-- So many at a time, as a call takes no more.
local PAIRS_MAX = 1000
-- Pages that nobody goes on with are gone after this.
local PAGES_MS = 600000
local at = 8
local function put_pairs(add, key)
    local last = at + 2 * tonumber(ARGV[at])
    for first = at + 1, last, 2 * PAIRS_MAX do
        local words = math.min(first + 2 * PAIRS_MAX - 1, last)
        redis.call(add, key, unpack(ARGV, first, words))
    end
    at = last + 1
end

for _, pages in ipairs(gathered) do
    put_pairs(pages.add, pages.from)
    redis.call('PEXPIRE', pages.from, PAGES_MS)
end
if ARGV[7] == '1' then
    for nth, pages in ipairs(gathered) do
        if redis.call(pages.count, pages.from) ~= tonumber(ARGV[3 + nth]) then
            return {'LOST'}
        end
    end
    redis.call('DEL', unpack(KEYS, 1, 5))
    for _, pages in ipairs(gathered) do
        if redis.call('EXISTS', pages.from) == 1 then
            redis.call('RENAME', pages.from, pages.to)
        end
    end
    put_pairs('HSET', state)
    put_pairs('HSET', metadata)
    redis.call('HSET', state, 'fence', ARGV[1], 'rev', ARGV[2])
    for _, key in ipairs({unpack(KEYS, 1, 5)}) do
        redis.call('PEXPIREAT', key, ARGV[3])
    end
end
return {'OK'}
