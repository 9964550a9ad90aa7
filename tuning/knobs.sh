# Every knob there is: its name, what a profile may say of it, why it is turned, how it is turned back
# by hand, and what that brought where it was measured. look_at_NAME SPEC makes its rows.

declare -a knobs=()
declare -A accepts why undo gain

knob() { knobs+=("$1") accepts[$1]=$2 why[$1]=$3 undo[$1]=$4 gain[$1]=$5; }

# In the order in which they are turned: what is laid out later depends on the number of queues.
# shellcheck source=knobs/card.sh
. "$here/knobs/card.sh"
# shellcheck source=knobs/kernel.sh
. "$here/knobs/kernel.sh"
# shellcheck source=knobs/cpu.sh
. "$here/knobs/cpu.sh"
# shellcheck source=knobs/service.sh
. "$here/knobs/service.sh"

is_knob() { [ -n "${accepts[$1]:-}" ]; }

explain() {
    local name
    for name in "${chosen[@]}"; do
        printf '%s\n  why   %s\n  undo  %s\n  gain  %s\n' "$name" "${why[$name]}" "${undo[$name]}" \
            "${gain[$name]}"
    done
}

# The table of docs/operations/tuning.md.
explain_markdown() {
    local name
    echo '| knob | bare-metal | vm | why | by hand back to what it was | gain |'
    echo '|---|---|---|---|---|---|'
    for name in "${chosen[@]}"; do
        # shellcheck disable=SC2016 # the backticks are Markdown's
        printf '| `%s` | %s | %s | %s | `%s` | %s |\n' "$name" "$(said bare-metal "$name")" \
            "$(said vm "$name")" "${why[$name]}" "${undo[$name]}" "${gain[$name]}"
    done
}

# said PROFILE KNOB
said() { sed -n "s/^$2 = //p" "$here/profiles/$1.conf"; }
