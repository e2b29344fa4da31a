# Promises: a stage from a shared object works as the built-in ones do, from the command and from a host that links the
# static library; one that does not fit is refused before it is used, in one clear line with its path marked.
. "$(dirname "$0")/lib.sh"
cc=$(command -v cc || command -v gcc || command -v clang) || skip 'no C compiler'
include=${SOURCE:?}/engine/include
skeleton=${BUILD:?}/lib/skeleton.so
[ -e "$skeleton" ] || skip "no $skeleton"
strict='-std=c11 -Wall -Wextra -Wpedantic -Werror'
# A text that was somebody's local variable is found out.
export ASAN_OPTIONS="${ASAN_OPTIONS-}${ASAN_OPTIONS+:}detect_stack_use_after_return=1"

# compile NAME [FLAG...]: NAME.c becomes NAME.so.
compile()
{
        local name=$1

        shift
        # shellcheck disable=SC2086
        "$cc" $strict "$@" -shared -fPIC -I "$include" "$name.c" -o "$name.so" 2>"$ROOT/cc" ||
                fail "$name.c does not compile: $(cat "$ROOT/cc")"
}

# refused STAGE REGEX [MARKED]: exit status 2, one line, the text, and marks under what is MARKED (what follows so:).
refused()
{
        local text="file:in | $1 | -" marked=${3-${1#so:}} before='file:in | so:'

        expect_status 2 "$SLUICE" run "$text"
        expect_stderr 3 "^sluice: .*$2"
        [ "$(sed -n 2p "$ERR")" = "  $text" ] || fail "the text of '$text' is not repeated: $(cat "$ERR")"
        [ "$(sed -n 3p "$ERR")" = "  ${before//?/ }^$(printf '%*s' $((${#marked} - 1)) '' | tr ' ' '~')" ] ||
                fail "the marks of '$text' are wrong: $(cat "$ERR")"
        [ ! -s "$OUT" ] || fail "'$text' wrote to stdout"
}

printf 'abc\nDef 1\n' >in
cp "$skeleton" skeleton.so

# ---- from the command ----
for so in "$skeleton" ./skeleton.so skeleton.so; do # without a slash: here, not where the linker looks
        expect_status 0 "$SLUICE" run "file:in | so:$so | -"
        [ "$(cat "$OUT")" = "$(printf 'ABC\nDEF 1')" ] || fail "so:$so gave $(cat "$OUT")"
        expect_stderr 1 '^skeleton: letters 5$'
done
make_bytes 3000000 big
expect_status 0 "$SLUICE" run 'file:big | so:skeleton.so | count: | so:skeleton.so | file:copy'
expect_same big copy
expect_status 0 "$SLUICE" run 'cat big | so:skeleton.so,limit=1000000 | cat | file:copy'
expect_same big copy
# It has had enough: what feeds it is ended.
expect_status 0 "$SLUICE" run 'yes | so:skeleton.so,limit=10 | null:'
expect_status 0 "$SLUICE" explain 'file:in | so:skeleton.so | count: | -'
grep -q '^skeleton -> count *handover ' "$OUT" || fail "no handover: $(cat "$OUT")"

# ---- a copy compiles alone, and is what the command loads ----
cp "$SOURCE/stages/skeleton.c" copied.c
"$cc" -shared -fPIC -I "$include" copied.c -o plain.so || fail 'skeleton.c does not compile without flags'
expect_status 0 "$SLUICE" run 'file:in | so:plain.so | -'
for compiler in gcc clang; do
        command -v "$compiler" >/dev/null || continue
        cc=$compiler compile copied
        expect_status 0 "$SLUICE" run 'file:in | so:copied.so | -'
        [ "$(cat "$OUT")" = "$(printf 'ABC\nDEF 1')" ] || fail "a copy made by $compiler gave $(cat "$OUT")"
done

# ---- its argument text is there as long as it is, also for one that does not copy it ----
cat >echo.c <<'C'
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sluice/stage.h>
static int copy(void **ret, const void *config)
{
        *ret = malloc(strlen(config) + 1);
        return *ret ? (strcpy(*ret, config), 0) : -ENOMEM;
}
static int describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)c;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM;
        return 0;
}
static int open_nothing(struct sluice_ctx *c, void *self)
{
        (void)self;
        return sluice_ctx_report(c, "arguments", sluice_ctx_config(c));
}
static int process(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        return in->len ? sluice_forward(c, in->len) : 0;
}
static void close_nothing(struct sluice_ctx *c, void *self, int error)
{
        (void)c;
        (void)self;
        (void)error;
}
static const struct sluice_stage_ops ops = {
        .size = sizeof(ops),
        .name = "echo",
        .instance_size = 1,
        .config_copy = copy,
        .config_free = free,
        .describe = describe,
        .open = open_nothing,
        .process = process,
        .close = close_nothing,
};
SLUICE_PLUGIN(ops);
C
compile echo
for arguments in '' some,words=here a,,b; do
        expect_status 0 "$SLUICE" run "file:in | so:echo.so${arguments:+,$arguments} | so:echo.so,other | file:copy"
        expect_stderr 2 '^echo: arguments other$'
        [ "$(head -n 1 "$ERR")" = "echo: arguments $arguments" ] || fail "'$arguments' arrived as $(head -n 1 "$ERR")"
        expect_same in copy
done

# ---- what does not fit ----
refused so:skeleton.so,limt=10 "does not take 'limt=10'" skeleton.so
refused so:skeleton.so,limit=10x "does not take 'limit=10x'" skeleton.so
refused so:skeleton.so,limit=1,limit=2 "does not take 'limit=1,limit=2'" skeleton.so
refused so:missing.so '\./missing\.so: .*No such file'
refused "so:$T/missing.so" "$T/missing\\.so: .*No such file"
refused so:in '\./in: .*(invalid ELF header|file too short)'
: >empty.so
refused so:empty.so '\./empty\.so: .*file too short'
refused "so:$T" 'cannot read file data: Is a directory'
head -c 40 skeleton.so >cut.so
refused so:cut.so '\./cut\.so: file too short'
# Cut, they would be another's.
expect_status 2 "$SLUICE" run "file:in | so:$(printf './%.0s' {1..2048})skeleton.so | -"
expect_stderr 3 'so: File name too long'
expect_status 2 "$SLUICE" run "file:in | so:skeleton.so,$(printf 'x%.0s' {1..1100}) | -"
expect_stderr 3 'so: the arguments are longer than 1023 bytes'
expect_status 2 "$SLUICE" run 'file:in | so: | -'
expect_stderr 3 'so: takes the path'
[ "$(sed -n 3p "$ERR")" = '               ^' ] || fail "the marks of so: are wrong: $(cat "$ERR")"

# sluice_plugin is made by hand in each: what it should not be is in the first line.
# unfit NAME REGEX <C: the file is NAME.c
unfit()
{
        {
                printf '#include <sluice/stage.h>\nextern const struct sluice_plugin sluice_plugin;\n'
                cat
        } >"$1.c"
        compile "$1"
        refused "so:$1.so" "\\./$1\\.so .*$2"
}
unfit newer 'version 2 of the plug-in interface, this is version 1' <<'C'
static const struct sluice_stage_ops ops = { .size = sizeof(ops) };
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin), SLUICE_PLUGIN_ABI + 1, &ops };
C
unfit older 'version 0 of the plug-in interface' <<'C'
static const struct sluice_stage_ops ops = { .size = sizeof(ops) };
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin), 0, &ops };
C
unfit large 'build it anew' <<'C'
static const struct sluice_stage_ops ops = { .size = sizeof(ops) };
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin) + 8, SLUICE_PLUGIN_ABI, &ops };
C
grep -q 'version 1 .* version 1' "$ERR" && fail "that is no reason: $(head -n 1 "$ERR")"
unfit hooks 'table of hooks of [0-9]+ bytes, this sluice one of [0-9]+' <<'C'
static const struct sluice_stage_ops ops = { .size = sizeof(ops) - 8 };
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin), SLUICE_PLUGIN_ABI, &ops };
C
unfit nohooks 'table of hooks of 0 bytes' <<'C'
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin), SLUICE_PLUGIN_ABI, 0 };
C
# A table that fits and has nothing in it: that is not the arguments' fault.
unfit hollow 'hook' <<'C'
static const struct sluice_stage_ops ops = { .size = sizeof(ops), .name = "hollow" };
const struct sluice_plugin sluice_plugin = { sizeof(sluice_plugin), SLUICE_PLUGIN_ABI, &ops };
C
echo 'int something_else = 1;' >nothing.c
compile nothing
refused so:nothing.so "\\./nothing\\.so has no symbol 'sluice_plugin'"
printf 'int nowhere(void);\nint call(void);\nint call(void)\n{\n        return nowhere();\n}\n' >undefined.c
compile undefined
refused so:undefined.so "\\./undefined\\.so: undefined symbol: nowhere"
# What is said has a path in it, and a long one must not hide the rest.
long=$(printf '%0200d' 0)
mkdir "$long"
cp nothing.so "$long/nothing.so"
refused "so:$long/nothing.so" "has no symbol 'sluice_plugin'"
refused "so:$long/missing.so" 'No such file'

# ---- from a host of its own ----
[ -z "$SANITIZE" ] || skip 'a host: one without the sanitizer cannot use a library that has it'
cat >host.c <<'C'
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sluice/stages.h>

/* host PATH ARGUMENTS FROM TO: 3 when the plug-in is refused, which it explains. */
int main(int argc, char **argv)
{
        struct sluice_stage_result s = { .size = sizeof(s) };
        struct sluice_pipeline *p;
        char why[160], small[8];
        int stage, r;

        if (argc != 5 || sluice_pipeline_new(&p, NULL) < 0)
                return 2;
        sluice_add_file(p, argv[3], NULL);
        stage = sluice_add_plugin(p, argv[1], argv[2], why, sizeof(why));
        if (stage < 0) {
                printf("%s: %s\n", strerror(-stage), why);
                /* Whoever has little room for words, or none, is told the same, and nothing was added. */
                r = sluice_add_plugin(p, argv[1], argv[2], small, sizeof(small)) == stage &&
                    strlen(small) < sizeof(small) && sluice_add_plugin(p, argv[1], argv[2], NULL, 0) == stage &&
                    sluice_pipeline_stages(p) == 1;
                sluice_pipeline_free(p);
                return r ? 3 : 4;
        }
        sluice_add_file(p, argv[4], NULL);
        sluice_pipeline_chain(p);
        r = sluice_pipeline_run(p);
        if (r < 0 || sluice_pipeline_stage_result(p, stage, &s) < 0)
                printf("%s\n", sluice_pipeline_error(p));
        else
                printf("%s %s %s\n", sluice_pipeline_stage_name(p, stage), s.reports[0].name, s.reports[0].value);
        sluice_pipeline_free(p);
        return r < 0;
}
C
uring=$(find /usr/lib /usr/local/lib -name liburing.a 2>/dev/null | head -n 1)
# shellcheck disable=SC2086
"$cc" $strict -D_GNU_SOURCE -I "$include" host.c -rdynamic "$BUILD/lib/libsluice.a" ${uring:--luring} -ldl -lpthread -o host ||
        fail 'the host does not compile'
expect_status 0 ./host ./skeleton.so '' in out
[ "$(cat "$OUT")" = 'skeleton letters 5' ] || fail "the host says $(cat "$OUT")"
[ "$(cat out)" = "$(printf 'ABC\nDEF 1')" ] || fail "the host made $(cat out)"
expect_status 0 ./host ./skeleton.so limit=1000000 big copy
expect_same big copy
expect_status 3 ./host ./skeleton.so limt=10 in out
grep -q "^Invalid argument: ./skeleton.so does not take 'limt=10'$" "$OUT" || fail "refused with $(cat "$OUT")"
expect_status 3 ./host ./newer.so '' in out
grep -q '^Exec format error: ./newer.so .*version 2' "$OUT" || fail "refused with $(cat "$OUT")"
expect_status 3 ./host ./nothing.so '' in out
grep -q '^Exec format error: ./nothing.so has no symbol' "$OUT" || fail "refused with $(cat "$OUT")"
expect_status 3 ./host ./missing.so '' in out
grep -q '^No such file or directory: ./missing.so: ' "$OUT" || fail "refused with $(cat "$OUT")"
true
