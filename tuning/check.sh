#!/usr/bin/env bash
# Says what of this machine suits the server, and what doesn't. Changes nothing.
set -euo pipefail

usage() {
    cat <<'END'
Usage: check.sh [OPTIONS]
Says what of this machine suits the server, and what doesn't; exit code 1 if something should
change. Changes nothing. What it can't read or the machine lacks is told and is no fault.

  --profile NAME|FILE  what is wanted: bare-metal, vm [default: what this machine is], or a file
                       with a / in its name
  --cpus LIST          CPUs of the shards, as given to sluice serve [default: all allowed]
  --interface NAME,..  interfaces that uploads come by [default: those of the default routes, else
                       all with a card]
  --only KNOB,..       looks at these knobs alone
  --json               prints JSON
  --explain            says of each knob why, how to undo it and what it gains; looks at nothing
  --markdown           with --explain: as docs/operations/tuning.md has it
  --root DIR           looks at a tree of files in place of this machine
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root='' profile='' shard_list='' shard_cpus='' interfaces='' format=table found='' why_not=''
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

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit ;;
        --json) format=json && shift ;;
        --explain) format=explain && shift ;;
        --markdown) format=markdown && shift ;;
        *)
            option "$@" || die "what is $1? See --help"
            shift 2
            ;;
    esac
done
settle_options

case $format in
    explain) explain && exit ;;
    markdown) explain_markdown && exit ;;
esac
look_at "${chosen[@]}"
if [ $format = json ]; then
    print_json
else
    printf 'profile %s, shards on CPU %s, interface %s\n\n' "$profile" "$shard_list" "$interfaces"
    print_table
fi
! is_unfit
