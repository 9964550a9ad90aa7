# Lists and masks of CPUs, as the kernel reads and writes them.

test_lists() (
    # shellcheck disable=SC2034 # of the machine, which isn't asked here
    root='' shard_cpus=''
    # shellcheck source=machine.sh
    . "$here/machine.sh"
    is 'a list' "$(cpus_in 0-2,8,10-11)" '0 1 2 8 10 11'
    is 'a list and back' "$(as_list 0 1 2 8 10 11)" 0-2,8,10-11
    is 'one CPU' "$(as_list 5)" 5
    is 'a mask' "$(as_mask 0 1 5)" 23
    is 'a mask of two words' "$(as_mask 0 33)" 2,00000001
    is 'a mask of three words' "$(as_mask 64 95)" 80000001,00000000,00000000
    [ "$failures" = 0 ]
)

# The page tells what the scripts tell.
test_page() {
    local page=$here/../docs/operations/tuning.md line
    "$here/check.sh" --explain --markdown >"$work/page"
    while IFS= read -r line; do
        is "a line of check.sh --explain --markdown in ${page##*/}" \
            "$(grep -cxF -- "$line" "$page")" 1
    done <"$work/page"
}
