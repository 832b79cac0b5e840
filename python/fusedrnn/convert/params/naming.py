"""Which entries of a mapping are the parameters of one layer, by names that end as torch's do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fusedrnn import _checks

STEMS = (
    *("weight_ih", "weight_hh", "bias_ih", "bias_hh", "bias", "weight_hr", "weight_ch"),
    *("gain_ih", "gain_hh", "gain_c", "shift_c", "initial_h", "initial_c", "weight_highway", "bias_highway"),
)
"""Names of parameters without the number of their layer; `bias` where a cell has one."""

PARAMETER = re.compile(rf"({'|'.join(STEMS)})(?:_l(\d+))?(_reverse)?")
SHOWN = 8


class Entries(dict[str, str]):
    """The names in the mapping by our names; `prefix` was found or given."""

    prefix: str = ""


def entries(mapping: Mapping[str, object], prefix: str | None, names: Mapping[str, str] | None) -> Entries:
    """The parameters of the layer at `prefix`, or where `names` says.

    Raises:
        ValueError: there are none, or there are several layers and no prefix; an entry of `names` is not there, or
            layers are numbered and not numbered side by side.
    """
    if names is not None:
        return _listed(mapping, prefix or "", names)
    found = Entries()
    found.prefix = _only_prefix(mapping) if prefix is None else prefix
    for name in _strings(mapping):
        if not name.startswith(found.prefix):
            continue
        match = PARAMETER.fullmatch(name, len(found.prefix))
        if match:
            ours = f"{match[1]}_l{match[2] or 0}{match[3] or ''}"
            if ours in found:
                raise ValueError(f"mapping: expected one name for {ours}, got {found[ours]} and {name}")
            found[ours] = name
    if not any(name.startswith("weight_ih_") for name in found):
        raise ValueError(
            f"prefix: expected {found.prefix}weight_ih_l0 or {found.prefix}weight_ih in the mapping; " + _offer(mapping)
        )
    return found


def _listed(mapping: Mapping[str, object], prefix: str, names: Mapping[str, str]) -> Entries:
    if not isinstance(names, Mapping):
        raise TypeError(f"names: expected a mapping of our names to theirs, got {_checks.describe(names)}")
    found = Entries()
    found.prefix = prefix
    for ours, theirs in names.items():
        match = PARAMETER.fullmatch(ours) if isinstance(ours, str) else None
        if match is None:
            raise ValueError(f"names: expected names such as weight_ih_l0, got {_checks.shown(ours)}")
        if f"{prefix}{theirs}" not in mapping:
            raise ValueError(f"names: {prefix}{theirs} is not in the mapping, which has {_some(_strings(mapping))}")
        found[ours if match[2] else f"{match[1]}_l0{match[3] or ''}"] = f"{prefix}{theirs}"
    return found


def _only_prefix(mapping: Mapping[str, object]) -> str:
    found = prefixes(mapping)
    if len(found) != 1:
        raise ValueError(f"prefix: needed to say which layer is meant; {_offer(mapping)}")
    return found[0]


def prefixes(mapping: Mapping[str, object]) -> list[str]:
    """Where the mapping has the first two weights of a layer."""
    ends = ("weight_ih_l0", "weight_ih")
    found = [name.removesuffix(end) for name in _strings(mapping) for end in ends if name.endswith(end)]
    return [p for p in found if f"{p}weight_hh_l0" in mapping or f"{p}weight_hh" in mapping]


def _offer(mapping: Mapping[str, object]) -> str:
    found = prefixes(mapping)
    if found:
        return f"there are recurrent layers at {_some(map(repr, found))}"
    return f"no layer has torch's names there, and names= can say which are meant; it has {_some(_strings(mapping))}"


def _strings(mapping: Mapping[str, object]) -> list[str]:
    return [name for name in mapping if isinstance(name, str)]


def _some(names: Iterable[str]) -> str:
    every = list(names)
    text = ", ".join(every[:SHOWN]) or "nothing"
    return text + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
