"""A graph cut at its recurrent nodes: stages of other nodes, each followed by the recurrent nodes it feeds.

A name's level is how many recurrent nodes lie one behind the other before it. Stage k makes the names of level k, then
the recurrent nodes of level k run, whose outputs have level k + 1. Constants have no level: each stage that uses some
makes them itself, so that ONNX Runtime can fold them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fusedrnn.onnx._constants import Constants
from fusedrnn.onnx._graph import Scope, used_names


@dataclass
class Stage:
    """Nodes in the graph's order, what they read from outside and what of theirs others need; then the recurrent nodes.

    `recurrent` has the places of nodes in the graph.
    """

    nodes: list[Any] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    recurrent: list[int] = field(default_factory=list)


def cut(scope: Scope, constants: Constants, taken: dict[int, list[str]]) -> list[Stage]:
    """The stages of a graph. `taken` has the places of the nodes to cut out, with the names they read at run time."""
    graph = scope.graph
    outputs = [each.name for each in graph.output]
    live = _live(graph, taken, outputs)
    levels = _levels(scope, constants, taken)
    depth = 1 + max((levels[place] for place in live), default=0)
    stages = [Stage() for _ in range(depth)]
    own: list[set[int]] = [set() for _ in range(depth)]
    for place in live:
        if place in taken:
            stages[levels[place]].recurrent.append(place)
        elif levels[place] >= 0:
            own[levels[place]].add(place)
    makers = {name: place for place in live if place not in taken for name in graph.node[place].output if name}
    fixed = {name: place for name, place in makers.items() if levels[place] < 0}
    needed = _needed(graph, stages, own, taken, outputs, fixed)
    for stage, places, wanted in zip(stages, own, needed, strict=True):
        _with_constants(graph, places, wanted, fixed)
        stage.nodes = [graph.node[place] for place in sorted(places)]
        made = {name for node in stage.nodes for name in node.output if name}
        read = set().union(*(used_names(node) for node in stage.nodes)) - made
        stage.inputs = sorted(name for name in read if not _is_initialiser(scope, name))
        stage.outputs = sorted(name for name in wanted if name in made)
    return stages


def _is_initialiser(scope: Scope, name: str) -> bool:
    source = scope.source.get(name)
    return source is not None and not hasattr(source, "op_type")


def _live(graph: Any, taken: dict[int, list[str]], outputs: list[str]) -> list[int]:
    """The places of the nodes that the outputs depend on, in order."""
    wanted, found = set(outputs), []
    for place in reversed(range(len(graph.node))):
        node = graph.node[place]
        if wanted & set(filter(None, node.output)):
            found.append(place)
            wanted |= set(taken[place]) if place in taken else used_names(node)
    return found[::-1]


def _levels(scope: Scope, constants: Constants, taken: dict[int, list[str]]) -> list[int]:
    """The level of each node; -1 of one that makes constants."""
    of_name: dict[str, int] = {}
    levels = []
    for place, node in enumerate(scope.graph.node):
        read = taken[place] if place in taken else used_names(node)
        level = max((of_name.get(name, 0) for name in read), default=0)
        made = [name for name in node.output if name]
        if place not in taken and all(constants.reason(scope, name) is None for name in made):
            levels.append(-1)
            continue
        levels.append(level)
        of_name.update((name, level + 1 if place in taken else level) for name in made)
    return levels


def _needed(
    graph: Any,
    stages: list[Stage],
    own: list[set[int]],
    taken: dict[int, list[str]],
    outputs: list[str],
    fixed: dict[str, int],
) -> list[set[str]]:
    """Of each stage, the names that are read outside of it: by its recurrent nodes, later stages, the caller."""
    needed: list[set[str]] = []
    later = set(outputs) - set(fixed)
    for stage, places in zip(reversed(stages), reversed(own), strict=True):
        later = later | {name for place in stage.recurrent for name in taken[place]}
        needed.append(later)
        later = later | {name for place in places for name in used_names(graph.node[place]) if name not in fixed}
    needed.reverse()
    needed[0] = needed[0] | (set(outputs) & set(fixed))
    return needed


def _with_constants(graph: Any, places: set[int], wanted: set[str], fixed: dict[str, int]) -> None:
    """Add the nodes that make the constants which a stage reads or hands out."""
    waiting = [name for place in places for name in used_names(graph.node[place])] + list(wanted)
    while waiting:
        place = fixed.get(waiting.pop())
        if place is not None and place not in places:
            places.add(place)
            waiting += used_names(graph.node[place])
