#!lua
-- Lets bodies of an upload be written by whoever knows a mark.
--
-- KEYS: the list of its bodies. ARGV: the mark, and how long (ms) a list that this makes stays unless a
-- body is written: this may be done long after whoever asked for it has given it up.
local is_new = redis.call('EXISTS', KEYS[1]) == 0
redis.call('SADD', KEYS[1], ARGV[1])
if is_new then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.status_reply('OK')
