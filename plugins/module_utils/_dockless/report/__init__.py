# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Values that modules and the command line return: endpoints, ports, exposures, services, names and networks.

Not here: anything that decides; a report only reads the model.
"""
