# The command line of check.sh and apply.sh, and the profile.

declare -A want
declare -a chosen=()

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# option NAME VALUE: one that both scripts have; fails if there is no such.
option() {
    [ $# -gt 1 ] || return 1
    case $1 in
        --profile) profile=$2 ;;
        --cpus) shard_list=$2 ;;
        --interface) interfaces=${2//,/ } ;;
        --only) IFS=, read -ra chosen <<<"$2" ;;
        --root) root=${2%/} ;;
        *) return 1 ;;
    esac
}

# What wasn't said is asked of the machine.
settle_options() {
    local name
    [ "$(uname -s)" = Linux ] || die 'this is for Linux'
    [ -n "$profile" ] || { profile=bare-metal && ! is_virtual_machine || profile=vm; }
    read_profile
    [ -n "$shard_list" ] || shard_list=$(allowed_cpus)
    [[ $shard_list =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] || die "--cpus $shard_list is no list such as 0,2-3"
    shard_cpus=$(cpus_in "$shard_list")
    for name in $shard_cpus; do
        [[ " $(online_cpus) " == *" $name "* ]] || die "--cpus: this machine has no CPU $name"
    done
    for name in $interfaces; do
        [ -e "$root/sys/class/net/$name" ] || die "--interface: this machine has no $name"
    done
    [ -n "$interfaces" ] || interfaces=$(default_interfaces | paste -sd ' ')
    # Loopback alone: its rows say that it has none of it.
    [ -n "$interfaces" ] || interfaces=lo
    for name in "${chosen[@]}"; do is_knob "$name" || die "--only: no knob is called $name"; done
    [ ${#chosen[@]} -gt 0 ] || chosen=("${knobs[@]}")
}

# Every line is "knob = what it should be". It is read, not run.
read_profile() {
    local file=$here/profiles/$profile.conf line name spec
    [[ $profile != */* ]] || file=$profile
    [ -r "$file" ] || die "no profile $file"
    for name in "${knobs[@]}"; do want[$name]=keep; done
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^([a-z_]+)\ =\ (.+)$ ]] || die "$file: not \"knob = value\": $line"
        name=${BASH_REMATCH[1]} spec=${BASH_REMATCH[2]}
        is_knob "$name" || die "$file: no knob is called $name"
        [[ $spec =~ ^(${accepts[$name]})$ ]] || die "$file: $name can't be \"$spec\", but ${accepts[$name]}"
        want[$name]=$spec
    done <"$file"
}

# look_at NAME...: rows for these knobs.
look_at() {
    local name
    for name in "$@"; do "look_at_$name" "${want[$name]}"; done
}
