# Promises: --help of everything answers on stdout with status 0 and names each option and stage, as the manual and the completion
# do; --version has a version.
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

# options_of FILE...: those in tables of getopt_long(), with a "=" those that have a value.
options_of()
{
        grep -ohE '"[a-z-]+", (no|required)_argument' "$@" | sed -E 's/"(.*)", no.*/--\1/; s/"(.*)", required.*/--\1=/'
}

# What the manual says of a subcommand's options: the parts of OPTIONS whose title names it.
manual_of()
{
        sed 's/\\-/-/g; s/"/ /g' "$SOURCE/tools/man/sluice.1" | awk -v name=" $1 " '
                /^\.SH/ { options = / OPTIONS/; here = 0 }
                /^\.SS/ { here = options && index($0 " ", name) }
                here'
}

# completes WORD...: what the last of these words of `sluice` may become.
completes()
{
        (
                . "$SOURCE/tools/completion/sluice"
                compopt() { :; }
                COMP_WORDS=(sluice "$@") COMP_CWORD=$#
                _sluice
                printf '%s\n' "${COMPREPLY[@]}"
        )
}

subcommands=$("$SLUICE" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
for subcommand in run explain doctor; do
        case " $(echo $subcommands) " in *" $subcommand "*) ;; *) fail "--help does not list $subcommand" ;; esac
done
stages=$("$SLUICE" --help | sed -n '/or one of:$/,/^$/s/^  \([a-z-]*\)  .*/\1/p')
for stage in file tcp-listen isolated; do
        case " $(echo $stages) " in *" $stage "*) ;; *) fail "--help does not list the stage $stage" ;; esac
done
# shellcheck disable=SC2086
helps --help help -h --version -V $subcommands $stages 'tee(' 'tee-strict(' 'merge(' 'merge-raw(' 'merge-turns(' 'concat(' 'par('
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
        # What the source knows as an option of it is in its help, in the manual and in the completion.
        if [ -n "${SOURCE-}" ] && [ -e "$SOURCE/tools/$subcommand.c" ]; then
                sources=("$SOURCE/tools/$subcommand.c")
                grep -q SUPERVISE_OPTIONS "${sources[0]}" && sources+=("$SOURCE/tools/supervise.h")
                options=$(options_of "${sources[@]}")
                case " $(echo $options) " in *' --help '*) ;; *) fail "tools/$subcommand.c: no options found" ;; esac
                manual_of "$subcommand" >manual
                completes "$subcommand" - >completion
                for option in $options; do
                        name=${option%=}
                        grep -qE -- "$name([^a-z-]|\$)" "$OUT" || fail "$subcommand --help does not mention $name"
                        grep -qE -- "$name([^a-z-]|\$)" manual || fail "the manual does not mention $name of $subcommand"
                        grep -qxF -- "$option" completion || fail "the completion does not know $option of $subcommand"
                done
        fi
done
if [ -n "${SOURCE-}" ]; then
        printf '%s:\n' $stages | sort >listed
        completes run "'" | grep ':$' | sort >completed
        diff listed completed >&2 || fail 'the completion knows other stages than --help lists'
        sed 's/\\-/-/g' "$SOURCE/tools/man/sluice.1" >manual
        for stage in $stages; do
                grep -q "^\.SS $stage:" manual || fail "the manual has no section on $stage:"
        done
        printf '%s\n' $subcommands | sort >listed
        completes '' | grep -vxE 'help|-.*' | sort >completed
        diff listed completed >&2 || fail 'the completion knows other subcommands than --help lists'
fi
expect_status 0 "$SLUICE" --version
grep -qxE 'sluice [0-9]+\.[0-9]+\.[0-9]+' "$OUT" || fail "--version says '$(cat "$OUT")'"
cp "$OUT" long
expect_status 0 "$SLUICE" -V
expect_same long "$OUT"

# Every stage that --help lists is taken for one by the language.
for stage in $stages; do
        "$SLUICE" explain "$stage:" 2>&1 | grep -q 'no stage' && fail "--help lists '$stage', the language does not know it"
done
# Nobody is told that help was given when it could not be.
"$SLUICE" --help >/dev/full 2>/dev/null && fail '--help to a full device has status 0'
true
