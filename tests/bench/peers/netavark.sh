#!/usr/bin/env bash
# Build SIZE endpoints with netavark, one call a container as podman does it. NAMES=true starts aardvark-dns.
set -euo pipefail
size=$1
state=/run/netavark
id=$(printf 'a%.0s' {1..64})
mkdir -p $state
network='{"name": "bench", "id": "'$id'", "driver": "bridge", "network_interface": "podman1",
  "subnets": [{"subnet": "10.60.0.0/16", "gateway": "10.60.0.1"}], "ipv6_enabled": false, "internal": false,
  "dns_enabled": '${NAMES:-false}', "ipam_options": {"driver": "host-local"}}'

for ((i = 1; i <= size; i++)); do
    ip netns add p$i
    /usr/lib/podman/netavark --config $state --aardvark-binary /usr/lib/podman/aardvark-dns setup /run/netns/p$i >/dev/null <<JSON
{"container_id": "c$i", "container_name": "p$i",
 "port_mappings": [{"container_port": 80, "host_port": $((10000 + i)), "host_ip": "", "protocol": "tcp", "range": 1}],
 "networks": {"bench": {"static_ips": ["10.60.$(((i + 1) / 256)).$(((i + 1) % 256))"], "interface_name": "eth0", "aliases": ["p$i"]}},
 "network_info": {"bench": $network}}
JSON
done
