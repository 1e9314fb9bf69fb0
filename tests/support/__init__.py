# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests share: private hosts and the programs that run in them, traffic, faults, fakes, and documents."""
