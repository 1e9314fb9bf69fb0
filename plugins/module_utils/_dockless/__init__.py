# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The engine of dockless.network, stage by stage: each package may import from those above it.

errors, names                          messages; constants, paths and derived names
model                                  what people declare, and what the host is like
document, allocate, firewall, dns      declaration -> model; choices; text of rules and DNS files
edits, state, validate, fleet          changes of a declaration; objects and plan; refusals; a plan for many hosts
desired, report, linux                 model -> desired state; what people are shown; doors to the kernel and programs
resolvers                              running dnsmasq
observe, apply                         the host -> facts and actual state; plan -> the host
engine                                 leads a run
commands, cli, ansible_module          the ways in: the command line, and Ansible's modules

Packages up to desired and report only compute. The others read or change the host.
"""
