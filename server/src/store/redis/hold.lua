#!lua flags=allow-oom
-- Takes or renews the lease of a node.
--
-- KEYS: the lease and the epoch of the node. ARGV: the caller's token; the least epoch that it may
-- have if it takes the lease, or 0 to renew it alone; how long it holds (ms); and the caller's epoch
-- if it renews.
--
-- Answers OK and the epoch; or SUCCEEDED, and the token of who has it or the epoch of who had it
-- since.
local held = redis.call('GET', KEYS[1])
local token, least, ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local epoch
if least > 0 then
    epoch = math.max(last + 1, least)
elseif held and held ~= token then
    return {'SUCCEEDED', held}
else
    epoch = tonumber(ARGV[4])
    -- Whoever had it since may have let it lapse, too.
    if last > epoch then
        return {'SUCCEEDED', string.format('%d', last)}
    end
end
if epoch > last then
    redis.call('SET', KEYS[2], string.format('%d', epoch))
end
redis.call('SET', KEYS[1], token, 'PX', ms)
return {'OK', string.format('%d', epoch)}
