# What the tests of networks that break share: two network namespaces joined by a veth pair, and rules that drop and reset.
# Sourced after cli/lib.sh. Neither namespace has a name: both live as long as a process that the test holds, so whatever
# becomes of the test, nothing of them is left.
#
#   net_up                 makes them; skips where that is not to be had. $NEAR_IP and $FAR_IP
#   "${NEAR[@]}" CMD...    runs CMD in one, "${FAR[@]}" CMD... in the other
#   near_rule HOOK RULE... a rule of nftables there, for packets that come in (input) or go out (output); far_rule
#   near_heal, far_heal    without rules again
#   far_listener PIPELINE [OPTION...]   as start_listener, on $FAR_IP:$FAR_PORT
NEAR_IP=10.77.0.1
FAR_IP=10.77.0.2
FAR_PORT=9000

# hold_namespace: a process with a network of its own; its number in $HELD. It does not carry the test's mark.
hold_namespace()
{
        env -u SLUICE_TEST_MARK setpriv --pdeathsig KILL unshare -n sleep 1000 </dev/null >/dev/null 2>&1 &
        HELD=$!
        until_true eval '[ "$(readlink /proc/$HELD/ns/net)" != "$(readlink /proc/self/ns/net)" ] ||
                ! kill -0 $HELD 2>/dev/null'
        kill -0 "$HELD" 2>/dev/null
}

net_down()
{
        kill -KILL "${near_holder-}" "${far_holder-}" 2>/dev/null
        wait "${near_holder-}" "${far_holder-}" 2>/dev/null
}

clean_up()
{
        net_down
}

net_up()
{
        local tool

        [ "$(id -u)" = 0 ] || skip 'needs root, to make networks'
        for tool in ip nft nsenter unshare setpriv python3; do
                command -v "$tool" >/dev/null || skip "no $tool"
        done
        hold_namespace || skip 'no network namespaces'
        near_holder=$HELD
        hold_namespace || skip 'no network namespaces'
        far_holder=$HELD
        NEAR=(nsenter -t "$near_holder" -n)
        FAR=(nsenter -t "$far_holder" -n)
        "${NEAR[@]}" ip link add veth0 type veth peer name veth0 netns "$far_holder" 2>/dev/null || skip 'no veth'
        "${NEAR[@]}" ip addr add $NEAR_IP/24 dev veth0
        "${FAR[@]}" ip addr add $FAR_IP/24 dev veth0
        for side in NEAR FAR; do
                local -n enter=$side
                "${enter[@]}" ip link set lo up
                "${enter[@]}" ip link set veth0 up
                # A connection whose packets are lost is given up after two more tries, not after a quarter of an hour.
                "${enter[@]}" sh -c 'echo 2 >/proc/sys/net/ipv4/tcp_retries2; echo 1 >/proc/sys/net/ipv4/tcp_syn_retries'
        done
        near_heal && far_heal || skip 'no nftables'
}

# heal COMMAND...: no rules but empty chains.
heal()
{
        "$@" nft -f - 2>/dev/null <<-'NFT'
                table inet sluice
                delete table inet sluice
                table inet sluice {
                        chain input { type filter hook input priority 0; }
                        chain output { type filter hook output priority 0; }
                }
	NFT
}

near_heal()
{
        heal "${NEAR[@]}"
}

far_heal()
{
        heal "${FAR[@]}"
}

near_rule()
{
        "${NEAR[@]}" nft add rule inet sluice "$@" || fail "no rule: $*"
}

far_rule()
{
        "${FAR[@]}" nft add rule inet sluice "$@" || fail "no rule: $*"
}

far_listening()
{
        grep -q ":$(printf %04X "$FAR_PORT") 00000000:0000 0A" "/proc/$far_holder/net/tcp"
}

far_listener()
{
        local pipeline=$1

        shift
        "${FAR[@]}" timeout --foreground -s KILL 60 "$SLUICE" run "$@" "$pipeline" >"$ROOT/listener.out" 2>"$ROOT/listener.err" &
        LISTENER=$!
        until_true far_listening || fail "no listener: $(cat "$ROOT/listener.err")"
}
