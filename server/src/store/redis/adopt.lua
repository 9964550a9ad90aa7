-- Makes an upload the caller's, unless a later process has it, and reads it.
--
-- KEYS: its state, chunks, metadata, lost chunks and parts. ARGV: the caller's fence, and when Redis may forget the
-- upload (Unix ms) if that is later than what was said before.
--
-- Answers OK, all fields of its state, and all of its metadata; or FENCED and whose it is; or
-- DAMAGED if that can't be told; or NOTHING.
local state = KEYS[1]
local held = redis.call('HGET', state, 'fence')
if not held or not string.find(held, '^%x+:%d+:') then
    return {redis.call('EXISTS', state) == 1 and 'DAMAGED' or 'NOTHING'}
end
-- The caller took the lease after whoever began from the same epoch.
local epochs = later_by(held, ARGV[1])
if not epochs or epochs > 0 then
    return {'FENCED', held}
end
redis.call('HSET', state, 'fence', ARGV[1])
for _, key in ipairs(KEYS) do
    redis.call('PEXPIREAT', key, ARGV[2], 'GT')
end
return {'OK', redis.call('HGETALL', state), redis.call('HGETALL', KEYS[3])}
