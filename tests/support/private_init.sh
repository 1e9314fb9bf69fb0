#!/usr/bin/env bash
# First process of a private host (tests/support/private_host.py). It says on stdout when the host is ready
# and the host lives until its stdin ends, so that a killed test run leaves nothing behind.
set -euo pipefail

mount --make-rprivate /
# The overlays' own directories lie on a tmpfs that nobody can see once /run is mounted over it.
mount -t tmpfs tmpfs /run
for directory in /etc /var/lib /usr/local; do
    layer=/run$directory
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" "$directory"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
mount -t sysfs sysfs /sys
# These limits are the machine's, not a namespace's: the host gets files of its own to set.
for limit in max_user_instances max_user_watches; do
    cp "/proc/sys/fs/inotify/$limit" "/run/lock/$limit"
    mount --bind "/run/lock/$limit" "/proc/sys/fs/inotify/$limit"
done
hostname private

rm -rf /etc/dockless /etc/netns
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.3' >/etc/resolv.conf # the neighbour: no query ever leaves the machine
printf '127.0.0.1 localhost\n::1 localhost\n' >/etc/hosts

# The neighbour: another host on eth0's link, the way to everywhere else, and that elsewhere itself.
# It has no route back to any network of this host, as a real one has none.
unshare --net sleep infinity </dev/null >/dev/null &
neighbour=$!
ip link set lo up
until [ "$(readlink /proc/$neighbour/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add eth0 address 02:00:00:00:00:02 type veth peer name eth0 address 02:00:00:00:00:03 netns $neighbour
in_neighbour() { nsenter --net=/proc/$neighbour/ns/net "$@"; }
in_neighbour ip -batch - <<'IP'
link set lo up
address add 198.51.100.1/32 dev lo
address add 2001:db8:2::1/128 dev lo nodad
link set eth0 addrgenmode none
address add fe80::3/64 dev eth0 nodad
address add 192.0.2.3/24 dev eth0
address add 2001:db8:1::3/64 dev eth0 nodad
link set eth0 up
IP
ip -batch - <<'IP'
link set eth0 addrgenmode none
address add fe80::2/64 dev eth0 nodad
address add 192.0.2.2/24 dev eth0
address add 2001:db8:1::2/64 dev eth0 nodad
link set eth0 up
route add default via 192.0.2.3
route add default via 2001:db8:1::3
IP
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

# The kernel finishes a link's start in the background: its own IPv6 addresses get their routes then, after a picture that was taken at once.
for address in fe80::2 2001:db8:1::2; do
    until ip -6 route show table local | grep -q "^local $address "; do :; done
done

echo "ready $neighbour"
# bash reaps whatever is left to it, which is what a first process is for.
while read -r _; do :; done
