#!/usr/bin/env bash
# Build SIZE endpoints with the CNI plugins bridge (with host-local) and portmap, one chain a container as a runtime does it.
set -euo pipefail
size=$1
export CNI_PATH=/usr/lib/cni CNI_COMMAND=ADD CNI_IFNAME=eth0
bridge='{"cniVersion": "0.4.0", "name": "bench", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
  "ipam": {"type": "host-local", "subnet": "10.70.0.0/16", "dataDir": "/run/cni", "routes": [{"dst": "0.0.0.0/0"}]}}'

for ((i = 1; i <= size; i++)); do
    ip netns add p$i
    export CNI_CONTAINERID=p$i CNI_NETNS=/run/netns/p$i
    result=$($CNI_PATH/bridge <<<"$bridge")
    $CNI_PATH/portmap >/dev/null <<JSON
{"cniVersion": "0.4.0", "name": "bench", "type": "portmap", "capabilities": {"portMappings": true},
 "runtimeConfig": {"portMappings": [{"hostPort": $((10000 + i)), "containerPort": 80, "protocol": "tcp"}]}, "prevResult": $result}
JSON
done
