# Promises: words are quoted as in POSIX sh; what is quoted is plain; stages, commands and '-' are told apart by what is
# not quoted. Asked of explain --json, and of commands that print their arguments.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'

# names PIPELINE NAME...: the stages' names, first to last.
names()
{
        local pipeline=$1 found want

        shift
        want=$(printf '<%s>' "$@")
        expect_status 0 "$SLUICE" explain --json "$pipeline"
        found=$(jq -j '.links | (.[0].from, .[].to) | "<\(.)>"' "$OUT")
        [ "$found" = "$want" ] || fail "'$pipeline' is $found, not $want"
}

# prints TEXT WANT: the arguments that "TEXT" gives a command.
prints()
{
        expect_status 0 "$SLUICE" run "printf '<%s>' $1"
        [ "$(cat "$OUT")" = "$2" ] || fail "printf $1 prints $(cat "$OUT"), not $2"
}

prints 'a b' '<a><b>'
prints "'a b'" '<a b>'
prints '"a b"' '<a b>'
prints 'a\ b' '<a b>'
prints "a' 'b" '<a b>'
prints "'a'\"b\"c" '<abc>'
prints "''" '<>'
prints '""' '<>'
prints "a '' b" '<a><><b>'
prints "'a|b' \"c|d\" e\\|f" '<a|b><c|d><e|f>'
prints "'a\\b'" '<a\b>'
prints "'\"'" '<">'
prints "\"'\"" "<'>"
prints '"a\"b"' '<a"b>'
prints '"a\\b"' '<a\b>'
prints '"a\nb"' '<a\nb>'
prints '"\$x \`y\`"' '<$x `y`>'
prints '$HOME' '<$HOME>'
prints '"$HOME"' '<$HOME>'
prints '*' '<*>'
prints '~' '<~>'
prints '#x' '<#x>'
prints 'a#b' '<a#b>'
prints 'x=y' '<x=y>'
prints "';' '&' '<' '>' '(' ')'" '<;><&><<><>><(><)>'
prints '\; \& \< \> \( \)' '<;><&><<><>><(><)>'
prints 'file:x' '<file:x>'
prints '-n --x -' '<-n><--x><->'
prints "$(printf 'a\tb\n c')" '<a><b><c>'
prints "$(printf 'a\\\nb')" '<ab>'
prints "$(printf '"a\\\nb"')" '<ab>'
prints 'grüße' '<grüße>'
prints '{a,b}' '<{a,b}>'
prints '!x' '<!x>'

names 'file:a | file:b' file:a file:b
names 'file:a|file:b' file:a file:b
names '  file:a  |  file:b  ' file:a file:b
names '- | -' stdin stdout
names '-|-' stdin stdout
names '- | cat | -' stdin cat stdout
names 'cat' stdin cat stdout
names 'cat | file:b' stdin cat file:b
names 'file:a | cat' file:a cat stdout
names "file:'a b' | file:\"c d\"" 'file:a b' 'file:c d'
names 'file:a\ b | null:' 'file:a b' null
names "file:'a|b' | null:" 'file:a|b' null
names "file:'a,b' | null:" 'file:a,b' null
names 'file:a\,b | null:' 'file:a,b' null
names 'file:"a,b",length=5 | null:' 'file:a,b' null
names 'file:a:b | null:' 'file:a:b' null
names 'file:a,length=5,offset=1k,snapshot | null:' file:a null
names 'file:a | file:b,atomic,mode=600,sync=full' file:a file:b
names 'file:./a=b | null:' 'file:./a=b' null
names 'zero:1M | tcp:[::1]:9' zero 'tcp:[::1]:9'
names 'unix:/x | unix-listen:y' unix:/x unix-listen:y
names 'fd:0 | fd:1' fd:0 fd:1
# A quoted colon makes a command; so does anything that no name of a stage can be.
names "file:a | 'file:b' | null:" file:a file:b null
names 'file:a | fi\le:b | null:' file:a file:b null
names 'file:a | ./x:y | null:' file:a ./x:y null
names 'file:a | File:y | null:' file:a File:y null
names 'file:a | 9p:y | null:' file:a 9p:y null
names "file:a | '-' | null:" file:a - null
names 'file:a | \- | null:' file:a - null
expect_status 0 "$SLUICE" explain --json "file:a | 'file:b' | null:"
[ "$(jq -r '.links[1].why' "$OUT" | cut -d' ' -f1)" = process ] || fail "a quoted 'file:b' is no command: $(cat "$OUT")"

# A pipeline that begins with '-' is none of the options; '--' ends them.
echo hello >in
for arguments in '- | cat' '-|cat' '- |cat' '- | - '; do
        limited "$SLUICE" run "$arguments" <in >out 2>"$ERR" || fail "run '$arguments': $(cat "$ERR")"
        expect_same in out
        limited "$SLUICE" run -- "$arguments" <in >out 2>"$ERR" || fail "run -- '$arguments': $(cat "$ERR")"
        expect_same in out
        limited "$SLUICE" run --driver=copy "$arguments" <in >out 2>"$ERR" || fail "run --driver=copy '$arguments': $(cat "$ERR")"
        expect_same in out
        expect_status 0 "$SLUICE" explain --json "$arguments"
        expect_status 0 "$SLUICE" explain -- "$arguments"
done
# A file whose name is as odd as can be.
name="$(printf 'o,d|d:\t "x" \\n')"
echo odd >"$name"
expect_status 0 "$SLUICE" run "file:'$name' | file:\"copy of\",atomic"
expect_same "$name" 'copy of'
# The limit of stages, on both sides of it.
many=$(printf 'cat | %.0s' $(seq 1 300))
expect_status 2 "$SLUICE" explain "${many}cat"
expect_stderr 3 'more than [0-9]+ stages'
