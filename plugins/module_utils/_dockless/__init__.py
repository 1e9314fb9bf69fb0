# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The engine of dockless.network, stage by stage: each package may import from those above it.

errors, names                          messages; constants, paths and derived names
model                                  types of the declaration, and of facts about the host
document, allocate, firewall, dns      declaration -> model; allocation; text of rules and DNS files
edits, state, validate, fleet          changes of a declaration; objects and plan; refusals; a plan for many hosts
desired, report, linux                 model -> desired state; reports for users; access to the kernel and programs
resolvers                              running dnsmasq
observe, apply                         the host -> facts and actual state; plan -> the host
engine                                 one run, from the lock to the record or the rollback
commands, cli, ansible_module          entry points: the command line, and Ansible's modules

Packages up to desired and report only compute. The others read or change the host.
"""
