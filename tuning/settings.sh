# One value of the machine each, by its address: a kind and what that kind needs.
#
# found_KIND sets $found, or $why_not and fails. command_KIND prints the command that sets a value;
# it is what a dry run shows and --apply runs, so both are the same. undo_KIND, where going back is
# not setting the old value, prints the command that goes back.

# A value of its own in a file; a sysctl is one too.
found_file() {
    if [ ! -e "$root$1" ]; then
        why_not="no $1 here"
        [[ $1 != /proc/sys/net/* ]] || why_not="not in this kernel or network namespace"
        return 1
    fi
    # The kernel has words apart by tabs, and some files refuse to be read.
    if ! found=$(tr -s '\t\n' ' ' 2>/dev/null <"$root$1"); then
        why_not="$1 can't be read"
        return 1
    fi
    found=${found% }
    [ -n "$found" ] || { why_not="$1 is empty" && return 1; }
}
command_file() { printf 'echo %q >%q' "$2" "$root$1"; }

# The word in brackets, of those in a file.
found_choice() {
    found_file "$1" || return 1
    found=${found##*[}
    found=${found%%]*}
}
command_choice() { command_file "$@"; }

# CPUs, as a mask; leading zeros are no difference.
found_mask() {
    found_file "$1" || return 1
    while [[ $found == [0,]* ]] && [ "$found" != 0 ]; do found=${found#?}; done
    found=${found:-0}
}
command_mask() { command_file "$@"; }

# How many queues an interface has: combined, rx or tx.
found_channels() { found_of_card -l "$1" "$2"; }
command_channels() { printf 'ethtool -L %q %s %s' "$1" "$2" "$3"; }

# How many packets a queue holds: rx or tx.
found_ring() { found_of_card -g "$1" "$2"; }
command_ring() { printf 'ethtool -G %q %s %s' "$1" "$2" "$3"; }

# Something that the driver does, or doesn't.
found_feature() {
    ask_card -k "$1" || return 1
    found=$(sed -n "s/^$2: //p" <<<"$told")
    if [[ -z $found || $found == *fixed* ]]; then
        why_not="${found:-unknown to its driver}"
        return 1
    fi
}
command_feature() { printf 'ethtool -K %q %s %s' "$1" "$2" "$3"; }

# Whether a daemon runs.
found_daemon() {
    found=stopped
    ! is_running "$1" || found=running
}
command_daemon() {
    local verb=stop
    [ "$2" = stopped ] || verb=start
    printf 'systemctl %s %q' "$verb" "$1"
}

# A limit of the service, soft: NOFILE or MEMLOCK.
found_limit() {
    if ! is_service; then
        why_not="no sluice.service here"
        return 1
    fi
    # Without Soft it is the hard one.
    found=$(systemctl show --value -p "Limit$1Soft" sluice.service)
}
command_limit() {
    local folder=$root/run/systemd/system/sluice.service.d
    printf 'mkdir -p %q && printf "[Service]\\nLimit%s=%s\\n" >%q && systemctl daemon-reload' \
        "$folder" "$1" "$2" "$folder/50-tuning-$1.conf"
}
undo_limit() {
    local folder=$root/run/systemd/system/sluice.service.d
    printf 'rm -f %q && systemctl daemon-reload' "$folder/50-tuning-$1.conf"
}

is_service() {
    command -v systemctl >/dev/null \
        && [ "$(systemctl show --value -p LoadState sluice.service 2>/dev/null)" = loaded ]
}

# ask_card FLAG INTERFACE: sets $told to what ethtool says.
ask_card() {
    if [ "$2" = lo ]; then
        why_not="loopback has none"
        return 1
    fi
    if ! command -v ethtool >/dev/null; then
        why_not="ethtool is missing: apt-get install ethtool"
        return 1
    fi
    if ! told=$(ethtool "$1" "$2" 2>/dev/null); then
        why_not="its driver has none to set"
        return 1
    fi
}

# found_of_card FLAG INTERFACE NAME: sets $found and $most, the current figure and the greatest.
found_of_card() {
    ask_card "$1" "$2" || return 1
    # Twice the same names: first the greatest, then the current.
    read -r most found < <(awk -F ':[ \t]*' -v name="$3" \
        'tolower($1) == name { printf "%s ", $2 }' <<<"$told") || true
    if [[ ! $most =~ ^[1-9][0-9]*$ ]]; then
        why_not="its driver has none to set"
        return 1
    fi
}

found_at() { "found_$1" "${@:2}"; }
command_to() { "command_$1" "${@:2}"; }

# command_back ADDRESS OLD: the command that undoes.
command_back() {
    local address
    read -ra address <<<"$1"
    if declare -F "undo_${address[0]}" >/dev/null; then
        "undo_${address[0]}" "${address[@]:1}"
    else
        command_to "${address[@]}" "$2"
    fi
}

# resolve SPEC: sets $wanted, what $found should be: word by word keep, >=NUMBER, or the value itself.
resolve() {
    local word at=0 have
    read -ra have <<<"$found"
    wanted=''
    for word in $1; do
        case $word in
            keep) word=${have[at]} ;;
            '>='*) word=$(greater "${have[at]}" "${word#>=}") ;;
        esac
        wanted+=" $word"
        at=$((at + 1))
    done
    wanted=${wanted# }
}

greater() {
    case $1 in
        infinity | unlimited) echo "$1" ;;
        *) echo $(($1 >= $2 ? $1 : $2)) ;;
    esac
}
