#!/usr/bin/env bash
# Makes this machine suit the server; a dry run unless told otherwise.
set -euo pipefail

usage() {
    cat <<'END'
Usage: apply.sh [--apply | --undo] [OPTIONS]
Prints the commands that make this machine suit the server. With --apply it runs those, knob by
knob, looks again, and keeps the old values; --undo brings them back. Nothing survives a reboot.

  --apply              changes the machine
  --undo               brings back what --apply changed, unless somebody else has changed it since
  --state FILE         where old values are kept [default: /run/sluice-tuning.state]
END
    "$here/check.sh" --help | sed -n '/--profile/,/--only/p;/--root/p'
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root='' profile='' shard_list='' shard_cpus='' interfaces='' found='' why_not=''
mode=dry-run state=''
# shellcheck source=machine.sh
. "$here/machine.sh"
# shellcheck source=settings.sh
. "$here/settings.sh"
# shellcheck source=rows.sh
. "$here/rows.sh"
# shellcheck source=knobs.sh
. "$here/knobs.sh"
# shellcheck source=options.sh
. "$here/options.sh"

# Rows that a script can't change, as comments.
print_others() {
    local at
    for at in "${!row_knob[@]}"; do
        [ "${row_status[at]}" != 'by hand' ] \
            || echo "# ${row_knob[at]}: by hand: ${row_note[at]} (${row_what[at]}: ${row_found[at]})"
    done
}

dry_run() {
    local name at address
    for name in "${chosen[@]}"; do
        clear_rows
        look_at "$name"
        [[ " ${row_status[*]} " != *' CHANGE '* ]] || echo "# $name: ${why[$name]}"
        for at in "${!row_knob[@]}"; do
            [ "${row_status[at]}" = CHANGE ] || continue
            read -ra address <<<"${row_address[at]}"
            printf '%s  # was %s\n' "$(command_to "${address[@]}" "${row_wanted[at]}")" "${row_found[at]}"
        done
        print_others
    done
    echo '# Nothing was changed; --apply does it. What follows from a new number of queues is not shown.'
}

# Knob by knob, since one changes what the next finds.
apply() {
    local name at
    for name in "${chosen[@]}"; do
        clear_rows
        look_at "$name"
        for at in "${!row_knob[@]}"; do
            [ "${row_status[at]}" != CHANGE ] \
                || change "${row_address[at]}" "${row_found[at]}" "${row_wanted[at]}"
        done
    done
}

# change ADDRESS OLD NEW: one that fails doesn't stop the rest. The old value is kept first, so that
# whatever ends this script, there is a way back.
change() {
    local address
    read -ra address <<<"$1"
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$state"
    run "$(command_to "${address[@]}" "$3")"
}

run() {
    echo "$1"
    bash -c "$1" || echo "apply.sh: that failed" >&2
}

# The last change first. What can't be brought back stays in the file.
undo() {
    local lines=() line left=() address old new
    mapfile -t lines <"$state"
    for ((line = ${#lines[@]} - 1; line >= 0; line--)); do
        IFS=$'\t' read -r address old new <<<"${lines[line]}"
        bring_back "$address" "$old" "$new" || left=("${lines[line]}" "${left[@]}")
    done
    if [ ${#left[@]} -gt 0 ]; then
        printf '%s\n' "${left[@]}" >"$state"
        echo "apply.sh: left ${#left[@]} settings as they are; they stay in $state" >&2
        return 1
    fi
    rm -f "$state"
}

# bring_back ADDRESS OLD NEW
bring_back() {
    local address
    read -ra address <<<"$1"
    if ! found_at "${address[@]}"; then
        echo "apply.sh: $1: $why_not" >&2
        return 1
    fi
    [ "$found" != "$2" ] || return 0
    if [ "$found" != "$3" ]; then
        echo "apply.sh: $1: it is $found, which is neither the old $2 nor the $3 set here" >&2
        return 1
    fi
    run "$(command_back "$1" "$2")"
    found_at "${address[@]}" && [ "$found" = "$2" ]
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit ;;
        --apply | --undo) mode=${1#--} && shift ;;
        --state) state=${2:?a file} && shift 2 ;;
        *)
            option "$@" || die "what is $1? See --help"
            shift 2
            ;;
    esac
done
[ -n "$state" ] || state=$root/run/sluice-tuning.state
[ "$mode" = dry-run ] || [ -n "$root" ] || [ "$(id -u)" = 0 ] || die "--$mode needs root"

if [ "$mode" = undo ]; then
    [ -e "$state" ] || { echo "nothing to undo: no $state" && exit; }
    undo
    exit
fi
settle_options
if [ "$mode" = dry-run ]; then
    dry_run
    exit
fi
apply
clear_rows
look_at "${chosen[@]}"
echo
print_table
print_others
# What is left to do by hand is no failure of this.
[[ " ${row_status[*]} " != *' CHANGE '* ]]
