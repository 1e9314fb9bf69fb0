# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Objects that a host has, and the plan: the difference between two states as an ordered list of steps.

Not here: where a state comes from (desired, observe) and how a step is carried out (apply).
"""
