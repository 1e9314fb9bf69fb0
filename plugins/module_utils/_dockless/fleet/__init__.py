# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One plan for many hosts, computed on the controller: VNIs, subnets, slices, addresses, peers, and their ledger.

The ledger is the state file of a fleet. It records what every plan assigned, so that the next plan assigns the same.

Not here: what one host does with its documents (engine), files on the controller (engine.fleet_files).
"""
