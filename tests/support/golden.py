# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden directories: a case is a directory with what is given and what is expected, both made to be read.

Add a case: write its input, look at the answer, and keep it once it is what you meant:

    export PYTHONPATH=plugins/module_utils:tests case=tests/unit/state/plan/my-case
    python3 tests/support/golden.py $case > $case/plan.yml
    export case=tests/unit/firewall/host_table/my-case
    python3 tests/support/golden.py $case > $case/table.nft
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

import yaml

from _dockless.firewall import host_firewall
from _dockless.firewall.nft_text import Elements, NftSet
from _dockless.state import plan, rebuilds, render
from _dockless.state.firewall import Firewall
from _dockless.state.objects import Address, File, Link, Netns, NftTable, Resolver, Route, State, Sysctl, Veth
from _dockless.state.plan import Plan
from support.pipeline import elements, resolved

KINDS = {
    "namespaces": Netns,
    "bridges": Link,
    "links": Link,
    "veth_pairs": Veth,
    "addresses": Address,
    "routes": Route,
    "sysctls": Sysctl,
    "tables": NftTable,
    "firewalls": Firewall,
    "files": File,
    "resolvers": Resolver,
}
_BLANKS = {
    "netns": "",
    "peer_netns": "",
    "peer_name": "",
    "kind": "bridge",
    "mac": "02:00:00:00:00:01",
    "mtu": 1500,
    "label": "dockless shop/x",
}
_MODES = ("update", "recreate", "fail")


def cases(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return the cases of a directory."""
    return sorted(path for path in directory.iterdir() if path.is_dir())


def objects(path: pathlib.Path) -> State:
    """Return the objects that a file lists by kind; what a case does not care for may be left out."""
    found = {}
    for kind, rows in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
        for row in rows:
            thing = _object(KINDS[kind], row)
            assert thing.key not in found, f"{path}: {thing.key} is there twice"
            found[thing.key] = thing
    return found


def _object(cls: t.Any, row: t.Mapping[str, t.Any]) -> t.Any:
    unknown = set(row) - set(cls._fields)
    assert not unknown, f"{cls.__name__} has no {unknown}, only {cls._fields}"
    needed = {f: _BLANKS[f] for f in cls._fields if f in _BLANKS and f not in cls._field_defaults}
    return cls(**{**needed, **{key: _value(value) for key, value in row.items()}})


def _value(value: t.Any) -> t.Any:
    """Return a field's value: settings as sorted pairs, elements of the firewall as a set of pairs."""
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    return frozenset(tuple(each) for each in value) if isinstance(value, list) else value


def planned(case: pathlib.Path) -> dict[str, t.Any]:
    """Return the plan of a case as its plan.yml should say it: steps by part, and what each on_mismatch refuses."""
    kept = case / "kept.yml"
    wanted = objects(case / "wanted.yml")
    work = plan.make_plan(
        wanted, objects(case / "actual.yml"), frozenset(objects(kept)) if kept.exists() else frozenset()
    )
    answer: dict[str, t.Any] = {}
    for part in ("clearing", "building", "removal"):
        steps = getattr(work, part)
        if steps:
            answer[part] = render.operations(Plan(building=steps))
    refused = {mode: message for mode in _MODES for message in [_refusal(work, wanted, mode)] if message}
    return {**answer, **({"refused": refused} if refused else {})}


def _refusal(work: Plan, wanted: State, mode: str) -> str:
    return next((str(error) for _step, error in rebuilds.refused_steps(work, wanted, mode, {})), "")


def ruleset_of(case: pathlib.Path) -> str:
    """Return the elements of a case's document.yml (projects by name, and defaults), by table and set."""
    document = yaml.safe_load((case / "document.yml").read_text(encoding="utf-8"))
    found = elements(resolved(defaults=document.get("defaults"), **document["projects"]))
    return "".join(_table_of(family, sets, found) for family, sets in host_firewall.FAMILY_SETS.items())


def _table_of(family: str, sets: t.Iterable[NftSet], found: Elements) -> str:
    blocks = []
    for nft_set in sets:
        listed = sorted(element for name, element in found if name == nft_set.name)
        if listed:
            lines = ",\n\t\t\t     ".join(listed)
            blocks.append(f"\t{nft_set.kind} {nft_set.name} {{\n\t\telements = {{ {lines} }}\n\t}}\n")
    return f"table {family} dockless {{\n" + "\n".join(blocks) + "}\n"


class Indented(yaml.SafeDumper):
    """Lists are indented under their key, as people write them and yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent, a list too."""
        super().increase_indent(flow, False)


def main(directory: str) -> None:
    """Print what the engine answers to a case."""
    case = pathlib.Path(directory)
    if (case / "document.yml").exists():
        print(ruleset_of(case), end="")
    else:
        print(yaml.dump(planned(case), Dumper=Indented, sort_keys=False, width=120), end="")


if __name__ == "__main__":
    main(sys.argv[1])
