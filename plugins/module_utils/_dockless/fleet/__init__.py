# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One plan for many hosts, computed on the controller: VNIs, slices, addresses, peers, and the ledger that remembers them.

Not here: anything that one host does with its part (engine), files on the controller (engine.fleet_files).
"""
