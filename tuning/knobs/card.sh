# Queues of the network cards, and which CPU serves which.

readonly no_queue='not measurable here: its one card is virtual, with one queue, and load comes by loopback'

knob irqbalance 'stopped|keep' \
    'It moves interrupts every 10 s, also those that are laid out here.' \
    'systemctl start irqbalance' \
    'not measurable here: it is not installed'
look_at_irqbalance() { setting irqbalance daemon "$1" daemon irqbalance; }

knob queues 'auto|max|keep|[1-9][0-9]*' \
    'One queue is one CPU that takes all packets in. auto: one for each CPU that serves interrupts. Many cards lose their link for a moment when this changes.' \
    'ethtool -L CARD combined OLD' \
    "$no_queue"
look_at_queues() {
    local name kind any spec=$1 cpus
    for name in $interfaces; do
        any=''
        for kind in combined rx tx; do
            found_channels "$name" "$kind" || continue
            any=1 spec=$1
            read -ra cpus <<<"$(interrupt_cpus "$name")"
            [ "$spec" != auto ] || spec=${#cpus[@]}
            [ "$spec" != max ] || spec=$most
            [ "$spec" = keep ] || [ "$spec" -le "$most" ] || spec=$most
            setting queues "$name $kind" "$spec" channels "$name" "$kind"
            # Cards that can combine their queues should.
            [ "$kind" != combined ] || break
        done
        [ -n "$any" ] || cannot queues "$name" "$why_not"
    done
}

knob ring_rx 'max|keep|>=[0-9]+' \
    'Packets that come while a shard keeps the CPU wait here; what does not fit is dropped. Long rings are colder. Many cards lose their link for a moment when this changes.' \
    'ethtool -G CARD rx OLD' \
    "$no_queue"
look_at_ring_rx() { look_at_ring rx "$1"; }

knob ring_tx 'max|keep|>=[0-9]+' \
    'Only acks go out, until objects go to S3.' \
    'ethtool -G CARD tx OLD' \
    'left alone'
look_at_ring_tx() { look_at_ring tx "$1"; }

look_at_ring() {
    local name spec
    for name in $interfaces; do
        spec=$2
        if ! found_ring "$name" "$1"; then
            cannot "ring_$1" "$name" "$why_not"
            continue
        fi
        if [ "$spec" = max ] || { [ "$spec" != keep ] && [ "${spec#>=}" -gt "$most" ]; }; then
            spec=$most
        fi
        setting "ring_$1" "$name" "$spec" ring "$name" "$1"
    done
}

knob gro 'on|off|keep' \
    'Joins packets before the stack sees them: one pass for 64 KiB instead of 1.5.' \
    'ethtool -K CARD gro off' \
    'not measurable here: packets on loopback are 64 KiB long already'
look_at_gro() {
    local name
    for name in $interfaces; do
        setting gro "$name" "$1" feature "$name" generic-receive-offload
    done
}

knob irqs 'auto|shards|keep' \
    'A queue whose interrupts wander is cold everywhere. auto: on CPUs without a shard if there is one to eight shards, at the card first; else one on each shard. shards: always so.' \
    'echo OLD >/proc/irq/N/smp_affinity_list' \
    "$no_queue"
look_at_irqs() {
    local name irq queue called cpus any
    for name in $interfaces; do
        any=''
        read -ra cpus <<<"$(interrupt_cpus "$name")"
        [ "$1" != shards ] || read -ra cpus <<<"$shard_cpus"
        while read -r irq queue called; do
            any=1
            local spec=${cpus[queue % ${#cpus[@]}]}
            [ "$1" != keep ] || spec=keep
            setting irqs "$irq $called" "$spec" file "/proc/irq/$irq/smp_affinity_list"
        done < <(irqs_of "$name")
        [ -n "$any" ] || cannot irqs "$name" 'no interrupts of its own'
    done
}

knob rps 'auto|off|keep' \
    'With fewer queues than shards the CPUs of the interrupts do all of TCP; this has the shards share it. It costs an interrupt between CPUs. auto: only where queues are fewer, and no CPUs were left to interrupts.' \
    'echo 0 >/sys/class/net/CARD/queues/rx-N/rps_cpus' \
    'not measurable here: load comes by loopback'
look_at_rps() {
    local name queue mask any
    for name in $interfaces; do
        any=''
        mask=$(rps_mask "$name" "$1")
        for queue in $(queues_of "$name" rx); do
            any=1
            setting rps "$name $queue" "$mask" mask "/sys/class/net/$name/queues/$queue/rps_cpus"
        done
        [ -n "$any" ] || cannot rps "$name" 'no queues of a card'
    done
}

# rps_mask NAME SPEC
rps_mask() {
    local cpus queues
    if [ "$2" = keep ]; then
        echo keep
        return
    fi
    read -ra cpus <<<"$shard_cpus"
    read -ra queues <<<"$(queues_of "$1" rx | paste -sd ' ')"
    if [ "$2" = auto ] && [ "${#queues[@]}" -gt 0 ] && [ "${#queues[@]}" -lt "${#cpus[@]}" ] \
        && [ "$(interrupt_cpus "$1")" = "$shard_cpus" ]; then
        as_mask "${cpus[@]}"
    else
        echo 0
    fi
}

knob rfs 'keep|[0-9]+' \
    'With rps, has TCP done on the CPU whose shard reads the connection. So many flows are remembered; a power of two.' \
    'sysctl -w net.core.rps_sock_flow_entries=0' \
    'not measurable here: load comes by loopback'
look_at_rfs() {
    local name queue queues spec any=''
    for name in $interfaces; do
        [ "$(rps_mask "$name" "${want[rps]}")" = 0 ] || any=1
    done
    if [ "$1" != keep ] && [ -z "$any" ]; then
        add rfs 'all flows' '-' '-' ok 'does nothing without rps'
        return
    fi
    spec=$1
    [ "$1" = keep ] || spec=$(power_of_two "$1")
    setting rfs 'all flows' "$spec" file /proc/sys/net/core/rps_sock_flow_entries
    for name in $interfaces; do
        read -ra queues <<<"$(queues_of "$name" rx | paste -sd ' ')"
        for queue in "${queues[@]}"; do
            [ "$1" = keep ] || spec=$(power_of_two $(($1 / ${#queues[@]})))
            setting rfs "$name $queue" "$spec" file "/sys/class/net/$name/queues/$queue/rps_flow_cnt"
        done
    done
}

# power_of_two NUMBER: the greatest that isn't above it; the kernel rounds all others.
power_of_two() {
    local power=1
    while [ $((power * 2)) -le "$1" ]; do power=$((power * 2)); done
    echo $(($1 > 0 ? power : 0))
}

knob xps 'auto|keep' \
    'A CPU that sends always by the same queue shares no lock of it. Most drivers see to it by themselves; theirs is left alone.' \
    'echo 0 >/sys/class/net/CARD/queues/tx-N/xps_cpus' \
    "$no_queue"
look_at_xps() {
    local name at queues cpus
    for name in $interfaces; do
        read -ra queues <<<"$(queues_of "$name" tx | paste -sd ' ')"
        if [ "${#queues[@]}" -lt 2 ]; then
            cannot xps "$name" 'one queue to send by'
            continue
        fi
        # Shards first, so that they are spread evenly.
        read -ra cpus <<<"$shard_cpus $(other_cpus)"
        for at in "${!queues[@]}"; do
            local spec=keep
            # What the driver has laid out is left to it.
            if [ "$1" = auto ] && found_mask "/sys/class/net/$name/queues/${queues[at]}/xps_cpus" \
                && [ "$found" = 0 ]; then
                spec=$(xps_mask "$at" "${#queues[@]}" "${cpus[@]}")
            fi
            setting xps "$name ${queues[at]}" "$spec" \
                mask "/sys/class/net/$name/queues/${queues[at]}/xps_cpus"
        done
    done
}

# xps_mask QUEUE QUEUES CPU...: every QUEUES-th CPU; of more queues than CPUs some share one.
xps_mask() {
    local queue=$1 step=$2 at mine=()
    shift 2
    local cpus=("$@")
    for ((at = queue % ${#cpus[@]}; at < ${#cpus[@]}; at += step)); do mine+=("${cpus[at]}"); done
    as_mask "${mine[@]}"
}
