# Promises: no descriptor of ours leaks into a command: whatever makes one asks for close-on-exec in the same call.
set -u
cd "${SOURCE:?}" || exit 1
fails=0

# Calls without comments, one a line: a statement is joined up to its closing parenthesis.
calls()
{
        python3 - "$@" <<'PY'
import re, sys
makers = r'(?<![A-Za-z0-9_.>])(open|openat|openat2|creat|socket|socketpair|pipe|pipe2|eventfd|epoll_create|epoll_create1|timerfd_create|signalfd|inotify_init|inotify_init1|memfd_create|fopen|freopen|fdopen|popen|accept|accept4|mkstemp|mkostemp|dup|dup2|dup3|opendir)\s*\('
for path in sys.argv[1:]:
    text = open(path).read()
    text = re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group()), text, flags=re.S)
    text = re.sub(r'//[^\n]*', '', text)
    bare = re.sub(r'"(?:[^"\\\n]|\\.)*"', lambda m: '"' + '_' * (len(m.group()) - 2) + '"', text)
    for m in re.finditer(makers, bare):
        depth, at = 1, m.end()
        while at < len(text) and depth:
            depth += (text[at] == '(') - (text[at] == ')')
            at += 1
        before = bare[bare.rfind('\n', 0, m.start()) + 1:m.start()].strip()
        if re.match(r'^(static\s+)?(int|void|FILE|struct \w+)\s*\**$', before):
            continue                   # a declaration or definition of that name
        print('%s:%d:%s:%s' % (path, text.count('\n', 0, m.start()) + 1, m.group(1), ' '.join(text[m.start():at].split())))
PY
}

command -v python3 >/dev/null || {
        echo 'skipped: no python3' >&2
        exit 77
}
while IFS=: read -r file line name call; do
        case $name in
        dup | dup2 | creat | pipe | epoll_create | inotify_init | popen | accept | mkstemp | freopen)
                ok= ;;                 # they cannot
        fopen)
                [[ $call =~ \"[rwa]b?\+?[a-z]*e[a-z]*\"\)$ ]] && ok=1 || ok= ;;
        fdopen | opendir)
                ok=1 ;;                # of a descriptor that has it; always has it
        *)
                [[ $call =~ CLOEXEC ]] && ok=1 || ok= ;;
        esac
        # A number that the caller owns is kept occupied by /dev/null: no new descriptor.
        [[ $call == 'dup2(null, fd)' ]] && ok=1
        if [ -z "$ok" ]; then
                printf 'FAIL: %s:%s: %s\n' "$file" "$line" "$call" >&2
                fails=1
        fi
done < <(calls uring/*.[ch] engine/*.[ch] stages/*.[ch] tools/*.[ch])
# By the ring: each opening operation names the flag in the same call.
grep -nE 'io_uring_prep_(openat|openat_direct|openat2|accept|multishot_accept|socket)\(' uring/*.c | grep -vE 'CLOEXEC' | while IFS=: read -r file line call; do
        sed -n "${line},$((line + 2))p" "$file" | grep -q CLOEXEC || echo "$file:$line: $call"
done | grep . >&2 && fails=1
grep -nE 'F_DUPFD\b' uring/*.c engine/*.c stages/*.c tools/*.c >&2 && fails=1
exit $fails
