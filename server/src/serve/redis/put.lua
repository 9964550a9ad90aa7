#!lua
-- Names a body and writes it, if its upload's list has the caller's mark.
--
-- KEYS: the list, and the body; without a body it is only named. ARGV: the mark; the body's name; when
-- Redis may forget the list (Unix ms) if that is later than was said before, or 0; then the body, and
-- the word and the number that say when Redis may forget it.
--
-- Answers OK; nothing if there is such a body; or 0 without the mark.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.call('SADD', KEYS[1], ARGV[2])
if ARGV[3] ~= '0' then
    redis.call('PEXPIREAT', KEYS[1], ARGV[3], 'GT')
end
if not KEYS[2] then
    return redis.status_reply('OK')
end
return redis.call('SET', KEYS[2], ARGV[4], 'NX', ARGV[5], ARGV[6])
