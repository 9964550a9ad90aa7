#!lua flags=allow-oom
-- Stands before every script that writes an upload as its owner: whether the caller is.
--
-- A fence is node, epoch and token, with colons between. Of two processes of a node the one with the
-- higher epoch began later.

-- By how many epochs a fence is later than the caller's; nil if it is another node's, or none.
local function later_by(fence, caller)
    local node, epoch = string.match(caller, '^(%x+):(%d+):')
    local its_node, its_epoch = string.match(fence, '^(%x+):(%d+):')
    return its_node == node and tonumber(its_epoch) - tonumber(epoch) or nil
end

-- Whether an upload that has this fence isn't the caller's. Whoever began before the caller has lost
-- it: Redis came back from a time before it was adopted. Whoever began from the same epoch hasn't.
local function is_kept_from(caller, fence)
    if not fence or fence == caller then
        return false
    end
    local epochs = later_by(fence, caller)
    return not epochs or epochs >= 0
end

