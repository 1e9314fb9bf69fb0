# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs that are files of this role: a JSON object {FILE.py: text} on standard input, the last one is started.

Each is a module for those after it, as if they were in one directory.
"""

import json
import sys
import types

for file, text in json.load(sys.stdin).items():
    name = file[: -len(".py")]
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, file, "exec"), module.__dict__)
module.start(sys.argv)
