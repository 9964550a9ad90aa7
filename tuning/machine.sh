# What the machine has: CPUs, interfaces, interrupts. Reads only; every path begins with $root, so
# that a tree of files can stand in for a machine.

# cpus_in LIST: the CPUs of a list as the kernel writes it: 0-2,8 becomes 0 1 2 8.
cpus_in() {
    local range ranges
    IFS=, read -ra ranges <<<"$1"
    for range in "${ranges[@]}"; do
        seq -s ' ' "${range%-*}" "${range#*-}"
    done | paste -sd ' '
}

# as_list CPU...: the opposite of cpus_in; they must ascend.
as_list() {
    local cpu first='' last='' text=''
    for cpu in "$@" end; do
        if [ -n "$last" ] && [ "$cpu" != end ] && [ "$cpu" -eq $((last + 1)) ]; then
            last=$cpu
            continue
        fi
        [ -z "$first" ] || text+=,$first
        [ "$first" = "$last" ] || text+=-$last
        first=$cpu last=$cpu
    done
    echo "${text#,}"
}

# as_mask CPU...: a mask as the kernel writes it: words of 32 bits in hexadecimal, the highest first.
as_mask() {
    local cpu word top=0 words=() text
    for cpu in "$@"; do
        word=$((cpu / 32))
        words[word]=$((${words[word]:-0} | 1 << cpu % 32))
        [ "$word" -le "$top" ] || top=$word
    done
    printf -v text '%x' "${words[top]:-0}"
    for ((word = top - 1; word >= 0; word--)); do
        printf -v text '%s,%08x' "$text" "${words[word]:-0}"
    done
    echo "$text"
}

online_cpus() { cpus_in "$(<"$root/sys/devices/system/cpu/online")"; }

# What the server takes when nobody gives it --cpus.
allowed_cpus() { sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$root/proc/self/status"; }

# node_of CPU: its NUMA node; 0 where there is but one.
node_of() {
    local node
    for node in "$root"/sys/devices/system/cpu/cpu"$1"/node[0-9]*; do
        [ ! -e "$node" ] || { echo "${node##*/node}"; return; }
    done
    echo 0
}

# node_of_interface NAME: the node that its card is at; -1 if nobody says.
node_of_interface() {
    cat "$root/sys/class/net/$1/device/numa_node" 2>/dev/null \
        || cat "$root/sys/class/net/$1/device/../numa_node" 2>/dev/null || echo -1
}

is_virtual_machine() {
    grep -qw hypervisor "$root/proc/cpuinfo" || { [ -z "$root" ] && systemd-detect-virt -qv 2>/dev/null; }
}

# The interfaces that packets come by: those of the default routes, else all with a card.
default_interfaces() {
    local names name
    names=$({
        awk '$2 == "00000000" && $8 == "00000000" { print $1 }' "$root/proc/net/route"
        awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo" { print $10 }' "$root/proc/net/ipv6_route"
    } 2>/dev/null | sort -u) || true
    if [ -z "$names" ]; then
        names=$(for name in "$root"/sys/class/net/*/device; do
            name=${name%/device}
            [ ! -e "$name/device" ] || echo "${name##*/}"
        done)
    fi
    for name in $names; do lower_interfaces "$name"; done | sort -u
}

# lower_interfaces NAME: the cards below a bond, bridge or VLAN; else the interface itself.
lower_interfaces() {
    local lower found=''
    for lower in "$root/sys/class/net/$1"/lower_*; do
        [ -e "$lower" ] || [ -L "$lower" ] || continue
        found=1
        lower_interfaces "${lower##*/lower_}"
    done
    [ -n "$found" ] || echo "$1"
}

# irqs_of NAME: a line for each interrupt of one of its queues: number, queue, what it is called.
# Of a card whose names tell no queues, all interrupts in their order.
irqs_of() {
    local folder=$root/sys/class/net/$1/device irq name all='' queues=''
    # Behind virtio it is the bus device above that interrupts.
    [ -d "$folder/msi_irqs" ] || folder=$(readlink -f "$folder")/..
    for irq in $(find "$folder/msi_irqs/" -mindepth 1 -printf '%f\n' 2>/dev/null | sort -n); do
        name=$(awk -v irq="$irq:" '$1 == irq { print $NF }' "$root/proc/interrupts")
        [ -n "$name" ] || continue
        all+="$irq $(wc -l <<<"$all") $name"$'\n'
        # mlx5_comp3@pci:0000:01:00.0, eth0-TxRx-3, ena's eth0-Tx-Rx-3, virtio0-input.3
        if [[ ${name%%@*} =~ ([Tt]x|[Rr]x|input|output|comp|fp|ntfy-blk)[-.]?([0-9]+)$ ]]; then
            queues+="$irq ${BASH_REMATCH[2]} $name"$'\n'
        fi
    done
    printf '%s' "${queues:-$all}"
}

# CPUs without a shard.
other_cpus() {
    local cpu others=()
    for cpu in $(online_cpus); do [[ " $shard_cpus " == *" $cpu "* ]] || others+=("$cpu"); done
    echo "${others[@]}"
}

# interrupt_cpus NAME: where its interrupts belong: CPUs without a shard if there is at least one to
# eight shards, those at the card's node first; else the shards' own.
interrupt_cpus() {
    local node cpu near=() far shards
    node=$(node_of_interface "$1")
    read -ra shards <<<"$shard_cpus"
    read -ra far <<<"$(other_cpus)"
    for cpu in "${far[@]}"; do [ "$(node_of "$cpu")" != "$node" ] || near+=("$cpu"); done
    if [ $((${#near[@]} * 8)) -ge "${#shards[@]}" ]; then
        echo "${near[@]}"
    elif [ $((${#far[@]} * 8)) -ge "${#shards[@]}" ]; then
        echo "${far[@]}"
    else
        echo "$shard_cpus"
    fi
}

# server_process: the process id of a running `sluice serve`; nothing if none runs.
server_process() {
    local folder
    for folder in "$root"/proc/[0-9]*; do
        if [ "$(cat "$folder/comm" 2>/dev/null)" = sluice ] \
            && tr '\0' '\n' <"$folder/cmdline" 2>/dev/null | grep -qx serve; then
            echo "${folder##*/}"
            return
        fi
    done
}

# is_running NAME: whether a process of that name is there.
is_running() { cat "$root"/proc/[0-9]*/comm 2>/dev/null | grep -qx "$1"; }

# queues_of NAME rx|tx: in their order. Loopback's one is no card's.
queues_of() {
    [ "$1" = lo ] || find "$root/sys/class/net/$1/queues/" -mindepth 1 -name "$2-*" -printf '%f\n' \
        2>/dev/null | sort -V
}
