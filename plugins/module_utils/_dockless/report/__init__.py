# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What people and playbooks are shown: rows of endpoints, ports, exposures, names and networks.

Not here: anything that decides; a report only reads the model.
"""
