#!/usr/bin/env bash
# Build SIZE endpoints as a good script would: iproute2 batches and one nft transaction.
set -euo pipefail
size=$1
last=$(((size - 1) / 1000)) # a bridge holds 1,023 ports, so a thousand go on each

host_part() {
    local i
    for ((i = 0; i <= last; i++)); do
        printf 'link add br%d type bridge\naddress add 10.%d.0.1/16 dev br%d\nlink set br%d up\n' $i $((50 + i)) $i $i
    done
    for ((i = 1; i <= size; i++)); do echo "netns add p$i"; done
}

pairs() {
    local i
    for ((i = 1; i <= size; i++)); do
        printf 'link add port%d master br%d type veth peer name eth0 netns p%d\nlink set port%d up\n' $i $(((i - 1) / 1000)) $i $i
    done
}

# Number $1 of a bridge gets the address .0.2 and so on upwards: sets $address.
address_of() { address=10.$((50 + ($1 - 1) / 1000)).$(((($1 - 1) % 1000 + 2) / 256)).$(((($1 - 1) % 1000 + 2) % 256)); }

ruleset() {
    local i separator=
    printf 'table inet peer {\n map ports {\n type inet_proto . inet_service : ipv4_addr . inet_service\n elements = {'
    for ((i = 1; i <= size; i++)); do
        address_of $i
        printf '%s tcp . %d : %s . 80' "$separator" $((10000 + i)) "$address"
        separator=,
    done
    printf ' }\n }\n chain before {\n type nat hook prerouting priority dstnat;\n'
    printf '  fib daddr type local dnat ip to meta l4proto . th dport map @ports\n }\n'
    printf ' chain after {\n type nat hook postrouting priority srcnat;\n'
    for ((i = 0; i <= last; i++)); do printf '  ip saddr 10.%d.0.0/16 oifname != "br%d" masquerade\n' $((50 + i)) $i; done
    printf ' }\n}\n'
}

echo 1 >/proc/sys/net/ipv4/ip_forward
host_part | ip -batch -
pairs | ip -batch -
for ((i = 1; i <= size; i++)); do
    address_of $i
    printf 'link set lo up\naddress add %s/16 dev eth0\nlink set eth0 up\nroute add default via 10.%d.0.1\n' \
        "$address" $((50 + (i - 1) / 1000)) | ip -netns p$i -batch -
done
ruleset | nft -f -
