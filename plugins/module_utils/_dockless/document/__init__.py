# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The declaration in Compose's keys becomes the model. Each option is read once, here, with its path for messages.

Not here: rules that need more than one object or the host (validate), values that are chosen (allocate).
"""
