#!/bin/bash
# tests/kernel/qemu_init.sh: the first process of the machine that qemu.sh starts: runs the tests of /job, says on the
# console how each ended, and switches the machine off. Lines for qemu.sh begin with "=> ".
#
#   => BACKEND TIER/NAME STATUS SECONDS SKIPPED     SKIPPED: cases of it that were
#
# What runs out of time is run once more, alone and with ten times of it, as BACKEND/again: an emulated machine is slow, and
# only that tells slow from stuck.
set -u
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 TMPDIR=/tmp

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /tmp /var/tmp /run
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777,size=60% tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
for name in 0:stdin 1:stdout 2:stderr; do
        ln -sfn "/proc/self/fd/${name%%:*}" "/dev/${name#*:}"
done
# The kernel's own words would stand in the middle of ours; what it thinks worth a warning is shown at the end.
echo 1 >/proc/sys/kernel/printk
for controller in $(</sys/fs/cgroup/cgroup.controllers); do
        echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done 2>/dev/null
busybox ifconfig lo up
while read -r module; do
        busybox insmod "$module" || echo "-- no $module"
done </modules/order

source /job      # SOURCE, BUILD, TIERS, BACKENDS, MATCH, TIMEOUT_S
export SOURCE BUILD SANITIZE='' SLUICE=$BUILD/bin/sluice REFUSE_RING=$BUILD/tests/refuse_ring
# Where they were built, whatever was just mounted over that.
mkdir -p "$SOURCE" && mount --bind /tree/source "$SOURCE"
mkdir -p "$BUILD" && mount --bind /tree/build "$BUILD"
cd /tmp || exit 1
exec </dev/null

# run BACKEND TIER/NAME SECONDS SAID_AS COMMAND...: 124 is the status of what ran out of time.
run()
{
        local backend=$1 test=$2 seconds=$3 as=$4 status=0 from=$SECONDS skipped
        local -a environment=()

        shift 4
        [[ $backend != epoll ]] || environment=(SLUICE_TEST_BACKEND=epoll SLUICE_BACKEND=epoll)
        env "${environment[@]}" timeout -k 5 "$seconds" setsid -w "$@" >/run/said 2>&1 || status=$?
        # What did not end when it was asked was killed.
        ((status != 137 || SECONDS - from < seconds)) || status=124
        skipped=$(grep -aE '^\[ *SKIPPED *\] [a-z]' /run/said | sort -u | wc -l)
        grep -aiE '^skipped|^\[ *SKIPPED *\] [a-z]' /run/said | sort -u | head -n 20 | sed "s|^|-- $test: |"
        ((status == 0)) || tail -n 60 /run/said | sed 's/^/   | /'
        echo "=> $as $test $status $((SECONDS - from)) $skipped"
        find /dev/shm /tmp -xdev -mindepth 1 -delete 2>/dev/null
        return "$status"
}

# The same, and what ran out of time is put aside.
late=()
once()
{
        [[ $2 =~ $MATCH ]] || return 0
        run "$1" "$2" "$TIMEOUT_S" "$1" "${@:3}"
        [[ $? != 124 ]] || late+=("$*")
}

# Those of this tier, by this backend.
scripts()
{
        local file

        for file in "$SOURCE/tests/$tier"/*.sh; do
                case $file in
                */lib.sh | */net.sh)  ;; # what the others share
                */many_rounds.sh)     ;; # of the long tier: a quarter of an hour here
                *)                    once "$backend" "$tier/$(basename "$file" .sh)" bash "$file" ;;
                esac
        done
}

programs()
{
        local file

        for file in "$BUILD/tests/$tier"/*; do
                [[ ! -f $file || ! -x $file || $file == *.* ]] || once "$backend" "$tier/${file##*/}" "$file"
        done
}

echo "=> kernel $(uname -r) $(uname -v)"
"$SLUICE" doctor 2>&1 | sed 's/^/doctor: /'
for backend in $BACKENDS; do
        for tier in $TIERS; do
                case $tier in
                cli)   scripts ;;
                fault) scripts; programs ;;
                zoo)   once "$backend" zoo/nothing_left "$BUILD/tests/zoo/nothing_left" 60 ;;
                *)     programs ;;
                esac
        done
done
for line in "${late[@]}"; do
        read -r backend test command <<<"$line"
        # shellcheck disable=SC2086 # the paths have no blanks
        run "$backend" "$test" "$((10 * TIMEOUT_S))" "$backend/again" $command
done
# -l takes names, and the words are these of the kernel's own log.
dmesg 2>/dev/null | grep -aE 'WARNING|BUG|Oops|segfault|hung_task|blocked for more|Out of memory|trap ' | tail -n 30 | sed 's/^/kernel: /'
echo '=> end'
busybox poweroff -f
