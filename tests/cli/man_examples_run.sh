# Promises: every example of the manual works as it stands, in order, in a directory that has an access.log.
. "$(dirname "$0")/lib.sh"
page=${SOURCE:?}/tools/man/sluice.1
[ -s "$page" ] || skip 'the manual is still empty'

# The lines between .EX and .EE of EXAMPLES, as one reads them; a continued line is one.
examples=$(awk '
        /^\.SH/ { here = /EXAMPLES/ }
        here && /^\.EX/ { inside = 1; next }
        /^\.EE/ { inside = 0 }
        inside && !/^\.\\"/ { print }' "$page" |
        sed -e 's/\\-/-/g; s/\\(aq/'"'"'/g; s/\\(dq/"/g; s/\\(ha/^/g; s/\\(ti/~/g; s/\\(rs/\\/g; s/\\|//g; s/\\&//g; s/\\f[BIRP]//g; s/\\f(..//g; s/\\e/\\/g' \
                -e 's/^[$%] //' | sed -e ':a' -e '/\\$/{N;s/\\\n */ /;ba' -e '}')
[ -n "$examples" ] || fail 'there are no examples'

for ((i = 1; i <= 20000; i++)); do
        echo "127.0.0.1 - - [01/Jan/2024:00:00:00 +0000] \"GET /$((i % 97)) HTTP/1.1\" $((i % 7 ? 200 : 500)) $i"
done >access.log
mkdir "$ROOT/bin" && ln -s "$SLUICE" "$ROOT/bin/sluice"
PATH=$ROOT/bin:$PATH

# The ports of the page may be somebody's here: each is replaced by a free one, the same each time.
for port in $(grep -oE '(127\.0\.0\.1|localhost):[0-9]+' <<<"$examples" | cut -d: -f2 | sort -un); do
        random_port
        while listening "$PORT"; do
                random_port
        done
        examples=$(sed -E "s/(127\.0\.0\.1|localhost|\[?::1?\]?):$port\b/127.0.0.1:$PORT/g" <<<"$examples")
done

ready()
{
        local port path

        port=$(grep -oE 'tcp-listen:[^:]*:[0-9]+' <<<"$1" | head -n 1 | sed 's/.*://')
        path=$(grep -oE 'unix-listen:[^ ,|'"'"']*' <<<"$1" | head -n 1 | cut -d: -f2)
        if [ "$port" ]; then
                grep -qE ": [0-9A-F]{8,32}:$(printf %04X "$port") 0+:0000 0A" /proc/net/tcp /proc/net/tcp6
        elif [ "$path" ]; then
                grep -qE "00010000 .* $path\$" /proc/net/unix
        fi
}

count=0
background=()
while IFS= read -r line; do
        [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
        count=$((count + 1))
        for tool in $(grep -oE '\b(zstd|gzip|xz|curl|nc|socat|pv|jq|tar)\b' <<<"$line" | sort -u); do
                command -v "$tool" >/dev/null || continue 2
        done
        if [[ $line =~ \&[[:space:]]*$ ]]; then
                limited bash -c "${line%&*}" >"$ROOT/background.$count" 2>&1 &
                background+=("$!:$count:$line")
                until_true ready "$line" || fail "'$line' is not ready: $(cat "$ROOT/background.$count")"
        else
                limited bash -c "$line" >"$OUT" 2>"$ERR"
                status=$?
                case $line:$status in
                *doctor*:[01]) ;;
                *:0) ;;
                *) fail "'$line': exit status $status, $(cat "$ERR")" ;;
                esac
                # A page of its own must not be needed to understand that nothing was wrong.
                grep -q '^sluice: ' "$ERR" && fail "'$line' says $(cat "$ERR")"
        fi
done <<<"$examples"
for job in "${background[@]+"${background[@]}"}"; do
        wait "${job%%:*}" || fail "'${job#*:*:}': exit status $?, $(cat "$ROOT/background.$(cut -d: -f2 <<<"$job")")"
done
[ "$count" -gt 0 ] || fail 'no example is a command line'
