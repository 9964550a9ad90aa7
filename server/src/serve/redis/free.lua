#!lua flags=allow-oom
-- Frees bodies of an upload and takes their names off its list. At once: whatever is written between
-- the two would be named by nobody.
--
-- KEYS: the list, then bodies. ARGV: their names.
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('SREM', KEYS[1], unpack(ARGV))
return redis.status_reply('OK')
