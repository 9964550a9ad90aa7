#!/usr/bin/env bash
# Tests of check.sh and apply.sh: on a machine made of files, with what this one lacks, and in a network
# namespace, whose settings are the kernel's and nobody else's. This machine's own are not touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
namespace=sluice-tuning-$$
failures=0
is_over=''
trap leave EXIT

leave() {
    ip netns del "$namespace" 2>/dev/null || true
    rm -rf "$work"
    [ -n "$is_over" ] || echo 'tuning: the tests ended early' >&2
}

# is NAME FOUND WANTED
is() {
    [ "$2" != "$3" ] || return 0
    printf 'FAILED %s: found "%s", wanted "%s"\n' "$1" "$2" "$3" >&2
    failures=$((failures + 1))
}

# same NAME FOLDER FOLDER
same() { is "$1" "$(diff -r "$2" "$3" 2>&1 | head -20)" ''; }

# code COMMAND...: its exit code; what it prints goes to $work/out.
code() {
    local code=0
    "$@" >"$work/out" 2>&1 || code=$?
    echo "$code"
}

# shellcheck source=tests/lists.sh
. "$here/tests/lists.sh"
# shellcheck source=tests/made_machine.sh
. "$here/tests/made_machine.sh"
# shellcheck source=tests/namespace.sh
. "$here/tests/namespace.sh"

test_lists
test_made_machine
test_page
if why=$(no_namespaces); then
    echo "tuning: skipped in a network namespace: $why"
else
    test_namespace
fi
is_over=1
[ "$failures" = 0 ] || { echo "tuning: $failures checks failed" >&2 && exit 1; }
echo 'tuning: all passed'
