# Limits of the server's process.

knob nofile 'keep|>=[0-9]+' \
    'A connection is a descriptor, and the soft default of systemd is 1,024.' \
    'rm /run/systemd/system/sluice.service.d/50-tuning-NOFILE.conf; systemctl daemon-reload' \
    'no gain: below it connections are refused'
look_at_nofile() { look_at_limit nofile "$1" 'Max open files'; }

knob memlock 'keep|infinity|>=[0-9]+' \
    'The memory of a ring is locked and counted, for all that a user runs.' \
    'rm /run/systemd/system/sluice.service.d/50-tuning-MEMLOCK.conf; systemctl daemon-reload' \
    'no gain: below 512 KiB a shard the server does not start'
look_at_memlock() { look_at_limit memlock "$1" 'Max locked memory'; }

# look_at_limit KNOB SPEC NAME: of the unit, and of the process that runs, which has the limits that
# its unit had when it started.
look_at_limit() {
    local knob=$1 spec=$2 name=$3 process how
    is_service && setting "$knob" sluice.service "$spec" limit "${knob^^}"
    process=$(server_process)
    if [ -z "$process" ]; then
        is_service || cannot "$knob" 'the server' 'no sluice.service here, and no sluice serve runs'
        return
    fi
    found=$(sed -n "s/^$name *\([^ ]*\).*/\1/p" "$root/proc/$process/limits" 2>/dev/null) || found=''
    if [ -z "$found" ]; then
        cannot "$knob" "process $process" 'only root may read its limits'
        return
    fi
    [ "$found" != unlimited ] || found=infinity
    resolve "$spec"
    if [ "$spec" = keep ] || [ "$found" = "$wanted" ] || { [ "$knob" = memlock ] && may_lock "$process"; }; then
        add "$knob" "process $process" "$found" "$wanted" ok ''
        return
    fi
    how='ulimit before sluice serve; Docker: --ulimit'
    ! is_service || how='systemctl restart sluice'
    by_hand "$knob" "process $process" "$found" "$wanted" "$how"
}

# may_lock PROCESS: whether CAP_IPC_LOCK lifts the limit for it.
may_lock() {
    local mask
    mask=$(sed -n 's/^CapEff:[[:space:]]*//p' "$root/proc/$1/status")
    [ $((16#$mask >> 14 & 1)) = 1 ]
}
