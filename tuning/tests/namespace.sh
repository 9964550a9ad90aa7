# In a network namespace of its own, with two virtual cards that are joined: what the kernel itself
# says to what is set.

# no_namespaces: says why none can be had; fails if they can.
no_namespaces() {
    if [ "$(id -u)" != 0 ]; then
        echo 'it needs root'
    elif ! command -v ip >/dev/null; then
        echo 'ip is missing: apt-get install iproute2'
    elif ! command -v ethtool >/dev/null; then
        echo 'ethtool is missing: apt-get install ethtool'
    elif ! ip netns add "$namespace" 2>"$work/out"; then
        cat "$work/out"
    elif ! ip -n "$namespace" link add card numrxqueues 4 numtxqueues 4 type veth \
        peer name other numrxqueues 4 numtxqueues 4 2>"$work/out"; then
        cat "$work/out"
    else
        return 1
    fi
}

test_namespace() {
    local knobs=somaxconn,tcp_rmem,slow_start,queues,gro,rps,xps
    local inside=(ip netns exec "$namespace")
    # Named one by one: what isn't a namespace's own is this machine's, and must not be turned here.
    local on=(--profile "$work/namespace.conf" --interface card --only "$knobs")
    local apply=("${inside[@]}" "$here/apply.sh" "${on[@]}" --state "$work/state")
    printf '%s\n' 'somaxconn = >=4096' 'tcp_rmem = keep keep >=16777216' 'slow_start = 0' \
        'queues = 2' 'gro = on' 'rps = auto' 'xps = auto' >"$work/namespace.conf"
    ip -n "$namespace" link set card up
    ip -n "$namespace" link set other up
    "${inside[@]}" sh -c 'echo 128 >/proc/sys/net/core/somaxconn
        echo "4096 131072 6291456" >/proc/sys/net/ipv4/tcp_rmem'
    outside >"$work/outside"
    inside >"$work/inside"

    is 'check in a namespace' "$(code "${inside[@]}" "$here/check.sh" "${on[@]}")" 1
    is 'a dry run in a namespace' "$(code "${apply[@]}")" 0
    is 'it changes nothing' "$(inside | diff "$work/inside" -)" ''
    is 'apply in a namespace' "$(code "${apply[@]}" --apply)" 0
    is 'check after apply in a namespace' "$(code "${inside[@]}" "$here/check.sh" "${on[@]}")" 0
    is 'something was set' "$("${inside[@]}" cat /proc/sys/net/core/somaxconn)" 4096
    is 'queues were set' "$("${inside[@]}" ethtool -l card | grep -c '^[RT]X:.*2$')" 2
    inside >"$work/inside-applied"
    is 'apply again in a namespace' "$(code "${apply[@]}" --apply)" 0
    is 'it changes nothing more' "$(inside | diff "$work/inside-applied" -)" ''
    is 'undo in a namespace' "$(code "${apply[@]}" --undo)" 0
    is 'it brings all back' "$(inside | diff "$work/inside" -)" ''
    is 'all knobs have an answer in a namespace' \
        "$(code "${inside[@]}" "$here/check.sh" --interface card | grep -v '^[01]$')" ''
    is 'this machine is as it was' "$(outside | diff "$work/outside" -)" ''
}

# All that the namespace has of its own. Some of these files can't be read, which is no fault.
inside() {
    "${inside[@]}" sh -c 'grep -rs . /proc/sys/net | grep -v "secret\|/neigh/\|random"
        grep -s . /sys/class/net/card/queues/*/*cpus /sys/class/net/card/queues/*/rps_flow_cnt
        ethtool -l card; ethtool -k card' | sort
}

# What is this machine's, and might be turned by mistake.
outside() {
    grep -s . /proc/sys/net/core/* /proc/sys/net/ipv4/tcp_* /sys/class/net/*/queues/*/*cpus \
        /proc/irq/*/smp_affinity_list /sys/kernel/mm/transparent_hugepage/enabled \
        /proc/sys/vm/nr_hugepages /sys/devices/system/cpu/cpu*/cpuidle/state*/disable \
        /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor || true
}
