# How fast the shards' CPUs are and how soon they wake, and where they are.

knob governor 'performance|schedutil|keep' \
    'A shard that sleeps between chunks looks idle, and its CPU is clocked down just when the next one comes. Of the CPUs of shards alone.' \
    'echo OLD >/sys/devices/system/cpu/cpuN/cpufreq/scaling_governor' \
    'not measurable here: a virtual machine has none'
look_at_governor() {
    local cpu folder any=''
    for cpu in $shard_cpus; do
        folder=/sys/devices/system/cpu/cpu$cpu/cpufreq
        [ -d "$root$folder" ] || continue
        any=1
        if [ "$1" != keep ] && ! grep -qw -- "$1" "$root$folder/scaling_available_governors"; then
            cannot governor "cpu $cpu" "its driver has no $1"
            continue
        fi
        setting governor "cpu $cpu" "$1" file "$folder/scaling_governor"
    done
    [ -n "$any" ] || cannot governor 'shard CPUs' 'no cpufreq: the host or the firmware decides'
}

knob cstates 'keep|[0-9]+' \
    'Sleep from which waking takes more than so many µs is not entered. While anything is under way a shard is woken each ms, so a wake-up of 100 µs is a tenth of its time. Of the CPUs of shards alone; it costs power.' \
    'echo 0 >/sys/devices/system/cpu/cpuN/cpuidle/stateM/disable' \
    'not measurable here: a virtual machine idles by the will of its host'
look_at_cstates() {
    local cpu state latency_us spec any=''
    for cpu in $shard_cpus; do
        for state in "$root/sys/devices/system/cpu/cpu$cpu"/cpuidle/state[1-9]*; do
            [ -r "$state/disable" ] || continue
            any=1 spec=$1
            latency_us=$(<"$state/latency")
            # What wakes soon enough is left as it is.
            [ "$spec" = keep ] || if [ "$latency_us" -gt "$1" ]; then spec=1; else spec=keep; fi
            setting cstates "cpu $cpu $(<"$state/name") $latency_us us" "$spec" \
                file "${state#"$root"}/disable"
        done
    done
    [ -n "$any" ] || cannot cstates 'shard CPUs' 'no cpuidle: the host or the firmware decides'
}

knob numa 'local|keep' \
    "Blocks lie at the shard's node and packets at the card's; between two nodes each byte crosses." \
    'serve with the old --cpus' \
    'not measurable here: one node'
look_at_numa() {
    local name node cpu near=() away
    if [ ! -e "$root/sys/devices/system/node/node1" ]; then
        add numa 'shard CPUs' "$shard_list" 'one node' ok ''
        return
    fi
    for name in $interfaces; do
        node=$(node_of_interface "$name") away='' near=()
        for cpu in $shard_cpus; do [ "$(node_of "$cpu")" = "$node" ] || away+=" $cpu"; done
        for cpu in $(online_cpus); do [ "$(node_of "$cpu")" != "$node" ] || near+=("$cpu"); done
        if [ "$node" -lt 0 ]; then
            cannot numa "$name" 'nobody says at which node its card is'
        elif [ "$1" = keep ]; then
            add numa "$name" "card on node $node" 'left alone' ok ''
        elif [ -z "$away" ]; then
            add numa "$name" "shards on node $node" "node $node" ok ''
        else
            by_hand numa "$name" "CPUs$away elsewhere" "node $node" \
                "serve with --cpus out of $(as_list "${near[@]}")"
        fi
    done
}
