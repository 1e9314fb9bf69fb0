# SPDX-License-Identifier: GPL-3.0-or-later
"""The attackers' lab: one host with a network of every kind, places around it, and packets of every kind between
them.
"""
