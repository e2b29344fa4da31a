# Promises: --help of everything answers on stdout with status 0 and names each option and stage; --version has a version.
. "$(dirname "$0")/lib.sh"

# Every line fits a terminal, nothing goes to stderr, every WORD is there.
helps()
{
        local arguments=$1 word

        shift
        # shellcheck disable=SC2086
        expect_status 0 "$SLUICE" $arguments
        expect_stderr 0 ''
        grep -q '^Usage: sluice' "$OUT" || fail "$arguments: no usage line"
        [ -z "$(grep -E '.{121}' "$OUT")" ] || fail "$arguments: a line is longer than 120"
        for word; do
                grep -qF -- "$word" "$OUT" || fail "$arguments does not mention $word"
        done
}

subcommands=$("$SLUICE" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
for subcommand in run explain doctor; do
        case " $(echo $subcommands) " in *" $subcommand "*) ;; *) fail "--help does not list $subcommand" ;; esac
done
stages='file append fd null zero tcp tcp-listen unix unix-listen'
# shellcheck disable=SC2086
helps --help $subcommands $stages 'tee(' 'tee-strict(' 'merge(' 'merge-raw(' 'merge-turns(' 'concat(' 'par('
# shellcheck disable=SC2086
helps -h $stages
helps help
helps 'run --help' --progress --no-progress --json --driver auto inline ring copy --no-splice --forbid-copy --timeout --verbose -v \
        --help -h 124 126 127 128
helps 'run -h'
helps 'explain --help' --json --help -h direct pipe splice cross
helps 'doctor --help' --json --help -h
for subcommand in $subcommands; do
        helps "$subcommand --help" --help
        # What the source knows as an option of it is in its help.
        if [ -n "${SOURCE-}" ] && [ -e "$SOURCE/tools/$subcommand.c" ]; then
                for option in $(grep -oE '\{ "[a-z-]+", (no|required|optional)_argument' "$SOURCE/tools/$subcommand.c" | cut -d'"' -f2); do
                        grep -qF -- "--$option" "$OUT" || fail "$subcommand --help does not mention --$option"
                done
        fi
done
expect_status 0 "$SLUICE" --version
grep -qxE 'sluice [0-9]+\.[0-9]+\.[0-9]+' "$OUT" || fail "--version says '$(cat "$OUT")'"
cp "$OUT" long
expect_status 0 "$SLUICE" -V
expect_same long "$OUT"

# Every stage that --help lists is taken for one by the language.
for stage in $("$SLUICE" --help | sed -n '/or one of:$/,/^$/s/^  \([a-z-]*\)  .*/\1/p'); do
        "$SLUICE" explain "$stage:" 2>&1 | grep -q 'no stage' && fail "--help lists '$stage', the language does not know it"
done
# Nobody is told that help was given when it could not be.
"$SLUICE" --help >/dev/full 2>/dev/null && fail '--help to a full device has status 0'
true
