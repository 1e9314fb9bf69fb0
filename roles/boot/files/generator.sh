#!/bin/sh
# Written by the role dockless.network.boot; boot_state=absent removes it.
# This generator (systemd.generator(7)) orders every service in a named network namespace after dockless.service. Like ip-netns(8), it
# also mounts the sandbox's files over those in the service's /etc.
# The resolvers are left out: dockless.service starts them itself, and would wait for them for ever.
grep -lsE '^NetworkNamespacePath=/(var/)?run/netns/' \
    /etc/systemd/system/*.service /run/systemd/system/*.service /usr/local/lib/systemd/system/*.service \
    /usr/lib/systemd/system/*.service /lib/systemd/system/*.service \
    /etc/systemd/system/*.service.d/*.conf /run/systemd/system/*.service.d/*.conf \
    | sed -E 's,/[^/]+[.]conf$,,; s,[.]d$,,; s,.*/,,' | sort -u | while read -r unit; do
    case $unit in
        dockless*) continue ;;
    esac
    mkdir -p "$1/$unit.d"
    printf '[Unit]\nWants=dockless.service\nAfter=dockless.service\n' > "$1/$unit.d/50-dockless.conf"
    # The last line in all files of a unit counts, as it does for systemd. Their order here differs from systemd's only if a unit has the
    # option several times, which is rare.
    netns=$(cat /lib/systemd/system/"$unit" /usr/lib/systemd/system/"$unit" /usr/local/lib/systemd/system/"$unit" /run/systemd/system/"$unit" \
        /etc/systemd/system/"$unit" /run/systemd/system/"$unit".d/*.conf /etc/systemd/system/"$unit".d/*.conf 2>/dev/null \
        | sed -nE 's,^NetworkNamespacePath=/(var/)?run/netns/([^/[:space:]]+)[[:space:]]*$,\2,p' | tail -n 1)
    # The files are for sandboxes of dockless only. The namespace of a template's instance (%i) is unknown until it starts.
    case $netns in
        '') continue ;;
        *%*) ;;
        *) grep -qs '^# dockless: sandbox' "/etc/netns/$netns/hosts" "/etc/netns/$netns/resolv.conf" || continue ;;
    esac
    {
        echo '[Service]'
        for file in resolv.conf hosts hostname nsswitch.conf; do
            echo "BindReadOnlyPaths=-/etc/netns/$netns/$file:/etc/$file"
        done
        # A service would reach the host's name services through these sockets, because network namespaces do not separate them.
        echo 'InaccessiblePaths=-/run/systemd/resolve/io.systemd.Resolve -/run/nscd'
    } >> "$1/$unit.d/50-dockless.conf"
done
# These start after the networks and then flush dockless' nft table. Docker creates the chain that the option coexist adds rules to.
after='nftables firewalld'
if grep -qs '"coexist": .*"docker"' /etc/dockless/host.json; then
    after="$after docker"
fi
for unit in $after; do
    mkdir -p "$1/$unit.service.wants"
    ln -sf /etc/systemd/system/dockless-after@.service "$1/$unit.service.wants/dockless-after@$unit.service"
done
exit 0
