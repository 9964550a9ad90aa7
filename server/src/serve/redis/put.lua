#!lua
-- Names bodies of an upload and writes them, if its list has the caller's mark.
--
-- KEYS: the list, then the bodies; without bodies they are only named. ARGV: the mark; when Redis may
-- forget the list (Unix ms) if that is later than was said before, or 0; the word and the number that
-- say when it may forget the bodies; then each body's name and bytes.
--
-- Answers OK; nothing if there was one of the bodies, which is left as it was; or 0 without the mark.
local list = KEYS[1]
if redis.call('SISMEMBER', list, ARGV[1]) == 0 then
    return 0
end
local names = {}
for at = 5, #ARGV, 2 do
    names[#names + 1] = ARGV[at]
end
redis.call('SADD', list, unpack(names))
if ARGV[2] ~= '0' then
    redis.call('PEXPIREAT', list, ARGV[2], 'GT')
end
local are_new = true
for nth = 2, #KEYS do
    local is_new = redis.call('SET', KEYS[nth], ARGV[2 * nth + 2], 'NX', ARGV[3], ARGV[4])
    are_new = are_new and is_new
end
return are_new and redis.status_reply('OK')
