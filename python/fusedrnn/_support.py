"""`python -m fusedrnn._support`: the tables of docs/howto/variants.md, made of the lists that layers are made of."""

from __future__ import annotations

from fusedrnn._activations import ACTIVATIONS
from fusedrnn._options import CLASSES, OPTIONS

COMPUTED_BY = {
    "cell": "the general cell",
    "record": "plain kernels in a call",
    "network": "plain kernels, if the cell is plain",
}
"""By what `Option.changes` says."""


def options_table() -> str:
    """`OPTIONS`, a row for each name."""
    rows: dict[str, list[str]] = {}
    for option in OPTIONS:
        names = ", ".join(CLASSES[cell] for cell in option.cells)
        if option.name in rows:  # an option of two cells that have other defaults
            rows[option.name][1] += f", {names}"
            rows[option.name][2] += f"; `{option.default!r}`" if option.default is not None else ""
            continue
        default = f"`{option.default!r}`"
        rows[option.name] = [
            f"`{option.name}`",
            names,
            default,
            option.what,
            COMPUTED_BY[option.changes],
            option.source,
        ]
    return _table(["option", "of", "default", "what it does", "computed by", "source"], list(rows.values()))


def activations_table() -> str:
    """`ACTIVATIONS` and their usual constants."""
    rows = [[f"`{name}`", *("" if value is None else f"{value}" for value in one)] for name, one in ACTIVATIONS.items()]
    return _table(["name", "alpha", "beta"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(options_table())
    print(activations_table(), end="")
