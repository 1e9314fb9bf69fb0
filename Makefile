# What a person types. Everything the targets need is installed by them: Debian packages (as root, when missing)
# and Python tools in .cache, so that nothing but .cache and the packages is left on the machine.
SHELL := /bin/bash
PYTHON := /usr/bin/python3
VENV := .cache/venv
NEWEST := .cache/pyroute2
SUITES := unit kernel integration lint sanity docs
# 50 hosts and a Docker engine are too much for every run: molecule/run scale, make coexist
SCENARIOS ?= $(filter-out coexist scale,$(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))

# command it brings:package
RUN_COMMANDS := ip:iproute2 nft:nftables dnsmasq:dnsmasq-base curl:curl ping:iputils-ping strace:strace jq:jq
TEST_COMMANDS := dig:bind9-dnsutils musl-gcc:musl-tools gcc:gcc strace:strace shellcheck:shellcheck wg:wireguard-tools wireguard-go:wireguard-go iptables:iptables ufw:ufw firewall-cmd:firewalld
MOLECULE_COMMANDS := systemd-nspawn:systemd-container sshd:openssh-server ssh:openssh-client pgrep:procps dbus-daemon:dbus tcpdump:tcpdump /usr/lib/frr/bgpd:frr /usr/lib/frr/frr-reload.py:frr-pythontools
COEXIST_COMMANDS := $(MOLECULE_COMMANDS) dockerd:docker.io firewall-cmd:firewalld ufw:ufw iptables:iptables
RUNTIMES_COMMANDS := podman:podman crun:crun dockerd:docker.io systemd-nspawn:systemd-container
BENCH_COMMANDS := iptables-restore:iptables /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns /usr/lib/cni/bridge:containernetworking-plugins

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH):/usr/sbin:/sbin
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export DEBIAN_FRONTEND := noninteractive

.PHONY: help tree packages test-packages molecule-packages bench-packages quickstart teardown check test $(SUITES) bench molecule coexist runtimes test-full clean

help:
	@echo 'make quickstart | teardown          an example on this machine, and its end (root)'
	@echo 'make check                          lint, unit and the smoke kernel tests, in a minute: before each commit'
	@echo 'make test                           $(SUITES), molecule/{evpn,fleet,systemd}'
	@echo 'make coexist                        beside a live Docker engine, firewalld and ufw'
	@echo 'make runtimes                       containers of podman, docker and systemd-nspawn in sandboxes'
	@echo 'make molecule | bench | test-full   whole hosts ($(SCENARIOS)); side by side with others; all of it'

quickstart teardown: tree packages $(VENV)/done
	$(VENV)/bin/ansible-playbook --inventory localhost, --connection local playbooks/$@.yml

check: tree test-packages $(VENV)/done
	@tests/run check

test: tree test-packages $(VENV)/done $(NEWEST)/done
	@tests/run $(SUITES) molecule

$(SUITES): tree test-packages $(VENV)/done $(NEWEST)/done
	@tests/run $@

molecule: tree molecule-packages $(VENV)/done
	@for scenario in $(SCENARIOS); do molecule/run $$scenario || exit 1; done

# Beside a live Docker engine, firewalld and ufw.
coexist: tree $(VENV)/done
	@tests/packages $(RUN_COMMANDS) $(COEXIST_COMMANDS)
	molecule/run coexist

# Containers of podman, docker and systemd-nspawn in sandboxes; the engines run in private namespaces only.
runtimes: tree $(VENV)/done
	@tests/packages $(RUN_COMMANDS) $(RUNTIMES_COMMANDS)
	$(VENV)/bin/pytest -q tests/kernel/test_names_runtimes.py

bench: tree bench-packages $(VENV)/done $(VENV)/bench-done
	tests/bench/run $(BENCH)

test-full: test molecule bench

# A checkout may have any name: Ansible finds the collection by this link.
tree:
	@mkdir -p .cache/tree/ansible_collections/dockless
	@ln -sfn ../../../.. .cache/tree/ansible_collections/dockless/network

# Debian's Python and its pyroute2 are what targets have, so the tools see them as well.
packages:
	@tests/packages $(RUN_COMMANDS)

test-packages:
	@tests/packages $(RUN_COMMANDS) $(TEST_COMMANDS) $(MOLECULE_COMMANDS)

molecule-packages: .cache/debs/done
	@tests/packages $(RUN_COMMANDS) $(MOLECULE_COMMANDS)

# Installed on a throw-away host only: on this machine they would take /etc/resolv.conf over.
.cache/debs/done:
	@mkdir -p $(@D) && rm -f $(@D)/*.deb
	cd $(@D) && apt-get download systemd-resolved libnss-resolve
	@touch $@

bench-packages:
	@tests/packages $(RUN_COMMANDS) $(BENCH_COMMANDS)

$(VENV)/done: tests/requirements.txt | packages
	$(PYTHON) -m venv --system-site-packages --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

# Only the plot of a benchmark needs it.
$(VENV)/bench-done: $(VENV)/done
	$(VENV)/bin/pip install --quiet --disable-pip-version-check 'matplotlib ~= 3.8'
	@touch $@

# The newest pyroute2, beside the distribution's: a sample of the kernel tests runs with each.
$(NEWEST)/done: | packages
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/pip install --quiet --disable-pip-version-check 'pyroute2 ~= 0.9.2'
	@touch $@

clean:
	rm -rf .cache tests/output .pytest_cache .ansible
