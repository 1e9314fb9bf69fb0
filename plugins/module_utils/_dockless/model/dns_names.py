# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The syntax of DNS names: one rule for the document, the record files and the resolvers' configuration."""

from __future__ import annotations

import re

from .top_level_domains import TOP_LEVEL_DOMAINS

NAME_LIMIT = 253  # characters, without the final dot (RFC 1035, section 2.3.4)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


def is_dns_name(text: str) -> bool:
    """Return whether text is a DNS name without a final dot.

    Labels follow RFC 1123, section 2.1; underscores are allowed too, because names of services have them (RFC 2782).
    """
    return len(text) <= NAME_LIMIT and _NAME.match(text) is not None


def is_public(name: str) -> bool:
    """Return whether a DNS name is a top-level domain of the Internet, or lies below one."""
    return name.rpartition(".")[2].lower() in TOP_LEVEL_DOMAINS
