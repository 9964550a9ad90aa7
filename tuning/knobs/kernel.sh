# Sysctls of the network stack, and memory.

knob somaxconn 'keep|>=[0-9]+' \
    'The kernel cuts every listen queue to this, and the server asks for 4,096: a burst of clients that come back, after a restart say, must fit. Counts for sockets made later: restart the server.' \
    'sysctl -w net.core.somaxconn=4096, the default of Linux' \
    'measured here: 2,000 clients that connect while the server is stopped for a second: with 128 half of them wait for a repeat, 1.0 to 1.6 s, after 2,600 to 3,100 overflows; with 4,096 all are in after 0.1 s'
look_at_somaxconn() { setting somaxconn net.core.somaxconn "$1" file /proc/sys/net/core/somaxconn; }

knob tcp_rmem '(keep|>=[0-9]+) (keep|>=[0-9]+) (keep|>=[0-9]+)|keep' \
    'Least, first and greatest receive buffer of a connection. The greatest bounds a connection to a half of it each round trip, and SO_RCVLOWAT, which the server sets to 2 MiB at most, to a half of it. The default is right up to 3 MiB a round trip; beyond set bandwidth × round trip × 2. What lies in these buffers is beside memory_limit.' \
    'sysctl -w net.ipv4.tcp_rmem="4096 131072 6291456", the default of Linux' \
    'measured here: one connection at 40 ms: 85 to 96 MB/s with 6 MiB, 145 to 175 with 32'
look_at_tcp_rmem() { setting tcp_rmem net.ipv4.tcp_rmem "$1" file /proc/sys/net/ipv4/tcp_rmem; }

knob tcp_wmem '(keep|>=[0-9]+) (keep|>=[0-9]+) (keep|>=[0-9]+)|keep' \
    'The server sends acks alone, of some bytes each. It matters on clients.' \
    'sysctl -w net.ipv4.tcp_wmem="4096 16384 4194304", the default of Linux' \
    'left alone'
look_at_tcp_wmem() { setting tcp_wmem net.ipv4.tcp_wmem "$1" file /proc/sys/net/ipv4/tcp_wmem; }

knob slow_start '0|1|keep' \
    'Bounds who sends after a pause, so it matters on clients (0 there).' \
    'sysctl -w net.ipv4.tcp_slow_start_after_idle=1, the default of Linux' \
    'left alone'
look_at_slow_start() {
    setting slow_start tcp_slow_start_after_idle "$1" \
        file /proc/sys/net/ipv4/tcp_slow_start_after_idle
}

knob busy_poll '0|keep' \
    'busy_poll is for poll and select, which the server never calls: it waits in io_uring, which polls cards only for rings that ask for it, and these do not. busy_read makes each read that finds nothing look at the card once, in vain.' \
    'sysctl -w net.core.busy_read=OLD net.core.busy_poll=OLD' \
    'not measurable here: loopback has no card to poll'
look_at_busy_poll() {
    setting busy_poll net.core.busy_poll "$1" file /proc/sys/net/core/busy_poll
    setting busy_poll net.core.busy_read "$1" file /proc/sys/net/core/busy_read
}

knob netdev_budget 'keep|>=[0-9]+' \
    'Packets that a CPU takes in before others get their turn. On the CPU of a shard more of them make the shard wait; raise it only where interrupts have CPUs of their own, and the times it ran out grow.' \
    'sysctl -w net.core.netdev_budget=300, the default of Linux' \
    'not measurable here: load comes by loopback'
look_at_netdev_budget() {
    setting netdev_budget net.core.netdev_budget "$1" file /proc/sys/net/core/netdev_budget
    local out
    if out=$(cut -d ' ' -f 3 "$root/proc/net/softnet_stat" 2>/dev/null); then
        row_note[-1]="ran out $(sum_of_hexadecimals "$out") times since boot"
    fi
}

sum_of_hexadecimals() {
    local number sum=0
    for number in $1; do sum=$((sum + 16#$number)); done
    echo "$sum"
}

knob thp 'some|always|madvise|never|keep' \
    'Huge pages for all memory (always), for what asks for them (madvise), or for none (never). The server asks, by its allocator, for the blocks that sockets are read into too, so madvise will do; some is all but never.' \
    'echo OLD >/sys/kernel/mm/transparent_hugepage/enabled' \
    'measured here: without them (MIMALLOC_ALLOW_THP=0) the server holds 52 to 61 MiB in place of 76 to 83; no difference in CPU was seen on a busy machine'
look_at_thp() {
    local path=/sys/kernel/mm/transparent_hugepage/enabled spec=$1
    if [ "$spec" = some ]; then
        spec=keep
        found_choice "$path" && [ "$found" = never ] && spec=madvise
    fi
    setting thp transparent_hugepage "$spec" choice "$path"
}

knob hugepages 'keep|[0-9]+' \
    'Memory set aside for those that ask for it by MAP_HUGETLB; the server does not, unless MIMALLOC_ALLOW_LARGE_OS_PAGES=1 is in its environment.' \
    'sysctl -w vm.nr_hugepages=0' \
    'left alone: of no use. That variable made no difference to page faults or memory here'
look_at_hugepages() { setting hugepages vm.nr_hugepages "$1" file /proc/sys/vm/nr_hugepages; }
