# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses the declaration, which uses the Compose specification's keys, into the model.

Each option is read in one place, with its path for error messages. Each file has the table of the options that it
reads; the table describes each option.
Not here: rules that need more than one object or the host (validate), values that dockless chooses (allocate).
"""
