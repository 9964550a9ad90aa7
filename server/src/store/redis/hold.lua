#!lua flags=allow-oom
-- Takes or renews the lease of a node.
--
-- KEYS: the lease and the epoch of the node. ARGV: the caller's token; the least epoch that it may
-- have if it takes the lease, or 0 to renew it alone; how long it holds (ms).
--
-- Answers OK and the epoch; or SUCCEEDED and the token of who has taken it since.
local held = redis.call('GET', KEYS[1])
local token, least, ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local epoch
if least > 0 then
    epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, least)
    redis.call('SET', KEYS[2], string.format('%d', epoch))
elseif held and held ~= token then
    return {'SUCCEEDED', held}
end
redis.call('SET', KEYS[1], token, 'PX', ms)
return {'OK', tostring(epoch or 0)}
