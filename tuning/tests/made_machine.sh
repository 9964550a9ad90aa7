# A machine made of files: 8 CPUs on two nodes, a card with 4 queues at node 0, a governor, deep sleep,
# irqbalance, systemd. In tests/bin are an ethtool and a systemctl that read and write the same files.

test_made_machine() {
    local tree=$work/tree
    make_machine "$tree"
    cp -a "$tree" "$work/before"
    local on=("--root" "$tree" "--profile" bare-metal)
    local PATH=$here/tests/bin:$PATH
    export TREE=$tree

    is 'check finds what to change' "$(code "$here/check.sh" "${on[@]}" --cpus 0-3)" 1
    same 'check changes nothing' "$work/before" "$tree"
    is 'a dry run ends well' "$(code "$here/apply.sh" "${on[@]}" --cpus 0-3)" 0
    same 'a dry run changes nothing' "$work/before" "$tree"
    grep -q "^echo performance >.*cpu3.*# was powersave" "$work/out" || is 'a dry run shows it' no yes
    check_json "$here/check.sh" "${on[@]}" --cpus 0-3

    test_layouts "$tree"
    test_huge_pages "$tree"
    test_apply_and_undo "$tree"
    test_others_change "$tree"
    test_failure "$tree"
    test_profiles "$tree"
    test_running_server "$tree"
    test_without_tools "$tree"
}

test_apply_and_undo() {
    is 'apply reaches what it wants' "$(code "$here/apply.sh" "${on[@]}" --apply --cpus 0-3)" 0
    is 'the governor of a shard' "$(<"$1/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor")" performance
    is 'the governor of no shard' "$(<"$1/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor")" powersave
    is 'deep sleep' "$(<"$1/sys/devices/system/cpu/cpu0/cpuidle/state2/disable")" 1
    is 'light sleep' "$(<"$1/sys/devices/system/cpu/cpu0/cpuidle/state1/disable")" 0
    is 'the queue' "$(<"$1/proc/sys/net/core/somaxconn")" 4096
    is 'the buffer' "$(<"$1/proc/sys/net/ipv4/tcp_rmem")" '4096 131072 6291456'
    is 'irqbalance' "$(cat "$1/proc/55/comm" 2>/dev/null)" ''
    is 'check after apply' "$(code "$here/check.sh" "${on[@]}" --cpus 0-3)" 0
    cp -a "$1" "$work/applied"
    is 'apply again' "$(code "$here/apply.sh" "${on[@]}" --apply --cpus 0-3)" 0
    is 'it runs nothing' "$(grep -c '^echo\|^ethtool\|^systemctl\|^mkdir' "$work/out")" 0
    same 'apply again changes nothing' "$work/applied" "$1"
    is 'undo' "$(code "$here/apply.sh" --root "$1" --undo)" 0
    # A folder of ours may stay.
    rm -r "$1/run/systemd"
    same 'undo brings all back' "$work/before" "$1"
    is 'undo again' "$(code "$here/apply.sh" --root "$1" --undo)" 0
}

# Who gets which interrupts.
test_layouts() {
    local command="$here/apply.sh ${on[*]} --only queues,irqs,rps,xps,numa"
    is 'CPUs are left at the node of the card' "$(affinities --cpus 0-2)" '3 3 3 3'
    is 'CPUs are left at another node alone' "$(affinities --cpus 0-3)" '4 5 6 7'
    is 'none are left' "$(affinities --cpus 0-7)" '0 1 2 3'
    code "$here/check.sh" "${on[@]}" --cpus 0-3 --only rps,xps,numa >"$work/code"
    is 'nothing is shared out where interrupts have CPUs' "$(grep -c 'rps.*ok' "$work/out")" 1
    is 'shards at the card' "$(grep -c 'numa.*ok' "$work/out")" 1
    code "$here/check.sh" "${on[@]}" --cpus 0-7 --only rps,numa >"$work/code"
    is 'fewer queues than shards' "$(grep -c 'rps.*ff.*CHANGE' "$work/out")" 4
    is 'shards at two nodes' "$(grep -c 'numa.*by hand (serve with --cpus out of 0-3)' "$work/out")" 1
}

test_huge_pages() {
    local file=$1/sys/kernel/mm/transparent_hugepage/enabled
    echo 'always madvise [never]' >"$file"
    code "$here/check.sh" "${on[@]}" --only thp >"$work/code"
    is 'no huge pages' "$(grep -c 'thp.*never *madvise *CHANGE' "$work/out")" 1
    echo 'always [madvise] never' >"$file"
}

# affinities OPTION...: where a dry run puts the four queues.
affinities() {
    # shellcheck disable=SC2086 # words
    $command "$@" | sed -n 's/^echo \([0-9]*\) >.*smp_affinity_list.*/\1/p' | paste -sd ' '
}

test_others_change() {
    code "$here/apply.sh" "${on[@]}" --apply --cpus 0-3 >"$work/code"
    echo 9000 >"$1/proc/sys/net/core/somaxconn"
    is 'undo leaves what somebody else set' "$(code "$here/apply.sh" --root "$1" --undo)" 1
    is 'it stays' "$(<"$1/proc/sys/net/core/somaxconn")" 9000
    is 'the rest comes back' "$(<"$1/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")" powersave
    echo 4096 >"$1/proc/sys/net/core/somaxconn"
    is 'what was left can be undone later' "$(code "$here/apply.sh" --root "$1" --undo)" 0
    is 'then it is back' "$(<"$1/proc/sys/net/core/somaxconn")" 128
}

test_failure() {
    local only=(--only "queues,somaxconn" --cpus 0-2)
    touch "$1/ethtool-fails"
    is 'a failure is told' "$(code "$here/apply.sh" "${on[@]}" --apply "${only[@]}")" 1
    is 'and stops nothing' "$(<"$1/proc/sys/net/core/somaxconn")" 4096
    rm "$1/ethtool-fails"
    is 'undo after a failure' "$(code "$here/apply.sh" --root "$1" --undo)" 0
    is 'it is back' "$(<"$1/proc/sys/net/core/somaxconn")" 128
}

# A process keeps the limits that it was started with.
test_running_server() {
    local only=(--only "nofile,memlock") process=$1/proc/77
    mkdir "$process"
    echo sluice >"$process/comm"
    printf '/usr/local/bin/sluice\0serve\0' >"$process/cmdline"
    printf 'CapEff:\t0000000000000000\n' >"$process/status"
    printf 'Max open files  1024  4096  files\nMax locked memory  8388608  8388608  bytes\n' \
        >"$process/limits"
    is 'limits of the service are set' "$(code "$here/apply.sh" "${on[@]}" "${only[@]}" --apply)" 0
    is 'and its process is left to whoever may restart it' \
        "$(grep -c '^# .*: by hand: systemctl restart sluice (process 77: ' "$work/out")" 2
    is 'which check.sh holds against it' "$(code "$here/check.sh" "${on[@]}" "${only[@]}")" 1
    printf 'CapEff:\t0000000000004000\n' >"$process/status"
    is 'CAP_IPC_LOCK lifts the limit' "$(code "$here/check.sh" "${on[@]}" --only memlock)" 0
    is 'undo of limits' "$(code "$here/apply.sh" --root "$1" --undo)" 0
    is 'they are gone' "$(find "$1/run" -name '*.conf')" ''
    rm -r "$process"
}

test_profiles() {
    local mine=$work/mine.conf
    echo 'gro = on' >"$mine"
    code "$here/apply.sh" --root "$1" --profile "$mine" >"$work/code"
    is 'what a profile leaves out is left alone' "$(grep -v '^#' "$work/out")" \
        'ethtool -K eth0 generic-receive-offload on  # was off'
    echo 'grow = on' >"$mine"
    is 'a knob that nobody knows' "$(code "$here/check.sh" --root "$1" --profile "$mine")" 2
    echo 'gro = maybe' >"$mine"
    is 'a value that it has not' "$(code "$here/check.sh" --root "$1" --profile "$mine")" 2
    # shellcheck disable=SC2016 # it must not be run
    echo 'gro = $(touch '"$work"'/ran)' >"$mine"
    is 'a command in a profile' "$(code "$here/check.sh" --root "$1" --profile "$mine")" 2
    is 'it is not run' "$(ls "$work/ran" 2>/dev/null)" ''
    is 'a CPU that is not there' "$(code "$here/check.sh" --root "$1" --cpus 8)" 2
    is 'an interface that is not there' "$(code "$here/check.sh" --root "$1" --interface eth7)" 2
    code "$here/check.sh" --root "$1" >"$work/code"
    is 'the machine says what it is' "$(head -c 18 "$work/out")" 'profile bare-metal'
}

test_without_tools() {
    local name bare=$work/bare
    mkdir "$bare"
    for name in bash cat sed awk sort paste find grep seq tr cut readlink dirname uname wc; do
        ln -s "$(command -v "$name")" "$bare/$name"
    done
    PATH=$bare is 'without ethtool and systemctl' \
        "$(PATH=$bare code "$here/check.sh" "${on[@]}" --only gro,nofile)" 0
    is 'it names the package' "$(grep -c 'gro.*cannot (ethtool is missing: apt-get install ethtool)' "$work/out")" 1
    is 'no service' "$(grep -c 'nofile.*cannot' "$work/out")" 1
    is 'loopback alone' "$(code "$here/check.sh" "${on[@]}" --interface lo --only queues,ring_rx,gro,irqs,rps,rfs,xps)" 0
    rm -r "$1/sys/devices/system/cpu/cpu0/cpufreq" "$1/sys/devices/system/cpu/cpu0/cpuidle"
    is 'no governor' "$(code "$here/check.sh" "${on[@]}" --cpus 0 --only governor,cstates)" 0
    is 'it says so' "$(grep -c 'cannot (no cpu' "$work/out")" 2
}

check_json() {
    command -v python3 >/dev/null || return 0
    code "$@" --json >"$work/code"
    is 'JSON' "$(python3 -c 'import json, sys
print(sorted({row["status"] for row in json.load(open(sys.argv[1]))}))' "$work/out")" "['CHANGE', 'ok']"
}

make_machine() {
    local cpu irq
    mkdir -p "$1"/{run,proc/self,proc/55,proc/net,proc/sys/{net/{core,ipv4},vm},sys/kernel/mm/transparent_hugepage}
    printf 'Cpus_allowed_list:\t0-7\n' >"$1/proc/self/status"
    echo 'flags : sse' >"$1/proc/cpuinfo"
    echo irqbalance >"$1/proc/55/comm"
    printf 'Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 00000000 x 3 0 0 0 00000000\n' \
        >"$1/proc/net/route"
    echo '0001 0000 00000003 0' >"$1/proc/net/softnet_stat"
    echo 128 >"$1/proc/sys/net/core/somaxconn"
    printf '4096\t131072\t1048576\n' | tr '\t' ' ' >"$1/proc/sys/net/ipv4/tcp_rmem"
    echo '4096 16384 4194304' >"$1/proc/sys/net/ipv4/tcp_wmem"
    echo 1 >"$1/proc/sys/net/ipv4/tcp_slow_start_after_idle"
    echo 50 | tee "$1/proc/sys/net/core/busy_read" >"$1/proc/sys/net/core/busy_poll"
    echo 300 >"$1/proc/sys/net/core/netdev_budget"
    echo 0 | tee "$1/proc/sys/net/core/rps_sock_flow_entries" >"$1/proc/sys/vm/nr_hugepages"
    echo 'always [madvise] never' >"$1/sys/kernel/mm/transparent_hugepage/enabled"
    for cpu in 0 1 2 3 4 5 6 7; do make_cpu "$1" "$cpu"; done
    echo 0-7 >"$1/sys/devices/system/cpu/online"
    mkdir -p "$1"/sys/devices/system/node/node{0,1}
    make_card "$1"
    for irq in 100 101 102 103 104; do
        mkdir -p "$1/proc/irq/$irq"
        echo 0-7 >"$1/proc/irq/$irq/smp_affinity_list"
    done
}

make_cpu() {
    local folder=$1/sys/devices/system/cpu/cpu$2 state
    mkdir -p "$folder/cpufreq" "$folder/node$(($2 / 4))" "$folder"/cpuidle/state{0,1,2}
    echo powersave >"$folder/cpufreq/scaling_governor"
    echo 'performance powersave' >"$folder/cpufreq/scaling_available_governors"
    for state in '0 0 POLL' '1 2 C1' '2 133 C6'; do
        read -r -a state <<<"$state"
        echo "${state[1]}" >"$folder/cpuidle/state${state[0]}/latency"
        echo "${state[2]}" >"$folder/cpuidle/state${state[0]}/name"
        echo 0 >"$folder/cpuidle/state${state[0]}/disable"
    done
}

make_card() {
    local folder=$1/sys/class/net/eth0 queue
    mkdir -p "$folder/device/msi_irqs" "$1/sys/class/net/lo" "$1/card"
    echo 0 >"$folder/device/numa_node"
    for queue in 0 1 2 3; do
        mkdir -p "$folder/queues/rx-$queue" "$folder/queues/tx-$queue"
        echo 0 >"$folder/queues/rx-$queue/rps_cpus"
        echo 0 >"$folder/queues/rx-$queue/rps_flow_cnt"
        echo 0 >"$folder/queues/tx-$queue/xps_cpus"
        touch "$folder/device/msi_irqs/$((101 + queue))"
        echo "$((101 + queue)): 5 5 PCI-MSIX-0000:01:00.0 $queue-edge mlx5_comp$queue@pci:0000:01:00.0"
    done >"$1/proc/interrupts"
    touch "$folder/device/msi_irqs/100"
    echo '100: 5 5 PCI-MSIX-0000:01:00.0 4-edge mlx5_async0@pci:0000:01:00.0' >>"$1/proc/interrupts"
    echo 4 >"$1/card/combined"
    echo 512 >"$1/card/rx"
    echo 512 >"$1/card/tx"
    echo off >"$1/card/generic-receive-offload"
    echo 1024 >"$1/card/LimitNOFILESoft"
    echo 8388608 >"$1/card/LimitMEMLOCKSoft"
}
