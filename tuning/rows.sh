# What was found, row by row, and how it is shown.

clear_rows() { row_knob=() row_what=() row_found=() row_wanted=() row_status=() row_note=() row_address=(); }
clear_rows

# add KNOB WHAT FOUND WANTED STATUS NOTE [ADDRESS]
add() {
    row_knob+=("$1") row_what+=("$2") row_found+=("$3") row_wanted+=("$4")
    row_status+=("$5") row_note+=("$6") row_address+=("${7:-}")
}

# setting KNOB WHAT SPEC ADDRESS...: one that can be set; SPEC is as in a profile.
setting() {
    local knob=$1 what=$2 spec=$3
    shift 3
    if ! found_at "$@"; then
        cannot "$knob" "$what" "$why_not"
        return
    fi
    resolve "$spec"
    if [ "$spec" = keep ]; then
        add "$knob" "$what" "$found" 'left alone' ok ''
    elif [ "$found" = "$wanted" ]; then
        # As the profile has it: at least so much.
        add "$knob" "$what" "$found" "$spec" ok ''
    else
        add "$knob" "$what" "$found" "$wanted" CHANGE '' "$*"
    fi
}

cannot() { add "$1" "$2" '-' '-' cannot "$3"; }

# by_hand KNOB WHAT FOUND WANTED HOW: what should change, but not by a script.
by_hand() { add "$1" "$2" "$3" "$4" 'by hand' "$5"; }

# Whether anything should change.
is_unfit() { [[ " ${row_status[*]} " == *' CHANGE '* || " ${row_status[*]} " == *' by hand '* ]]; }

# Settings of one knob that are all right take one line.
print_table() {
    local at next text lines=() line cells widths=(4 4 5 6) column
    lines=($'knob\twhat\tfound\twanted\t')
    for ((at = 0; at < ${#row_knob[@]}; at = next)); do
        next=$((at + 1))
        while [ "${row_status[at]}" = ok ] && [ "${row_status[next]:-}" = ok ] \
            && [ "${row_knob[next]}" = "${row_knob[at]}" ]; do
            next=$((next + 1))
        done
        if [ $((next - at)) -gt 1 ]; then
            lines+=("${row_knob[at]}"$'\t'"$((next - at)) settings"$'\tas wanted\t-\tok')
            continue
        fi
        text=${row_status[at]}
        [ -z "${row_note[at]}" ] || text+=" (${row_note[at]})"
        lines+=("${row_knob[at]}"$'\t'"${row_what[at]}"$'\t'"${row_found[at]}"$'\t'"${row_wanted[at]}"$'\t'"$text")
    done
    for line in "${lines[@]}"; do
        IFS=$'\t' read -ra cells <<<"$line"
        for column in 0 1 2 3; do
            [ ${#cells[column]} -le "${widths[column]}" ] || widths[column]=${#cells[column]}
        done
    done
    for line in "${lines[@]}"; do
        IFS=$'\t' read -ra cells <<<"$line"
        printf '%-*s  %-*s  %-*s  %-*s  %s\n' "${widths[0]}" "${cells[0]}" "${widths[1]}" "${cells[1]}" \
            "${widths[2]}" "${cells[2]}" "${widths[3]}" "${cells[3]}" "${cells[4]:-}"
    done
}

print_json() {
    local at comma=''
    printf '['
    for at in "${!row_knob[@]}"; do
        printf '%s\n  {"knob": %s, "what": %s, "found": %s, "wanted": %s, "status": %s, "note": %s}' \
            "$comma" "$(quoted "${row_knob[at]}")" "$(quoted "${row_what[at]}")" \
            "$(quoted "${row_found[at]}")" "$(quoted "${row_wanted[at]}")" \
            "$(quoted "${row_status[at]}")" "$(quoted "${row_note[at]}")"
        comma=,
    done
    printf '\n]\n'
}

quoted() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[[:cntrl:]]/ }"
}
