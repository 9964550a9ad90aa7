#!lua flags=allow-oom
-- Runs one command, its key left out of ARGV, though Redis may be full: what names an upload
-- elsewhere is needed to free what it holds.
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
