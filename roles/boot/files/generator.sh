#!/bin/sh
# Written by the role dockless.network.boot; boot_state=absent takes it away.
# Order every service that runs in a named network namespace after dockless.service, and give it the files of a sandbox as ip-netns(8)
# gives them to a command; see systemd.generator(7).
# The resolvers are left out, because dockless.service starts them itself and would wait for them for ever.
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
    # Of several files the last line counts, as for systemd; their order is near enough to its own, as a unit seldom names two.
    netns=$(cat /lib/systemd/system/"$unit" /usr/lib/systemd/system/"$unit" /usr/local/lib/systemd/system/"$unit" /run/systemd/system/"$unit" \
        /etc/systemd/system/"$unit" /run/systemd/system/"$unit".d/*.conf /etc/systemd/system/"$unit".d/*.conf 2>/dev/null \
        | sed -nE 's,^NetworkNamespacePath=/(var/)?run/netns/([^/[:space:]]+)[[:space:]]*$,\2,p' | tail -n 1)
    # A namespace of somebody else's is left alone; that of a template's instance (%i) is not known before it starts.
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
        # Sockets of the host's name daemons: no network namespace keeps them apart.
        echo 'InaccessiblePaths=-/run/systemd/resolve/io.systemd.Resolve -/run/nscd'
    } >> "$1/$unit.d/50-dockless.conf"
done
# What flushes our table when it starts, and Docker, which makes the chain that coexist writes to, after the networks are there.
after='nftables firewalld'
if grep -qs '"coexist": .*"docker"' /etc/dockless/host.json; then
    after="$after docker"
fi
for unit in $after; do
    mkdir -p "$1/$unit.service.wants"
    ln -sf /etc/systemd/system/dockless-after@.service "$1/$unit.service.wants/dockless-after@$unit.service"
done
exit 0
