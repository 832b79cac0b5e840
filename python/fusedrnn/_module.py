"""What layers and cells share: the attributes that they are made with, the compiled network, copies and pickles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fusedrnn import _checks, _core
from fusedrnn._params import Params, drawn, parameter_shapes
from fusedrnn._saving import Saved


class Module(Saved):
    """A compiled network and its named parameters.

    Attributes (fixed: to assign one is an AttributeError, except where it says otherwise):
        input_size, hidden_size, bias: as given to the constructor.
        dtype: numpy.dtype of parameters, inputs, states and outputs.
        rng: the numpy.random.Generator that drew the initial parameters, and draws the dropout masks. May be assigned,
            whatever the constructor takes.
    """

    _fixed: ClassVar[frozenset[str]] = frozenset({"input_size", "hidden_size", "bias", "dtype"})
    """The attributes that the compiled network was made with."""

    _checked: ClassVar[Mapping[str, Callable[[object], object]]] = {"rng": _checks.generator}
    """The attributes that take effect when they are assigned, and what their values go through."""

    _cell: str
    """The core's name of the cell: "rnn", "lstm" or "gru"."""

    _suffix = ""
    """The end of the core's parameter names that this class leaves out: a cell has no layer number."""

    _network: _core.Network

    input_size: int
    hidden_size: int
    bias: bool
    dtype: np.dtype[Any]
    rng: np.random.Generator

    def __init__(self, input_size: object, hidden_size: object, bias: object, dtype: object, rng: object) -> None:
        self.input_size = _checks.size("input_size", input_size)
        self.hidden_size = _checks.size("hidden_size", hidden_size)
        self.bias = _checks.boolean("bias", bias)
        self.dtype = _checks.real_dtype(dtype)
        self.rng = _checks.generator(rng)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._fixed and name in self.__dict__:
            kind = type(self).__name__
            raise AttributeError(f"{name}: read-only, {kind} was made with it; make another to change it")
        check = self._checked.get(name)
        super().__setattr__(name, value if check is None else check(value))

    def __delattr__(self, name: str) -> None:
        if name in self._fixed or name in self._checked:
            raise AttributeError(f"{name}: cannot be deleted, {type(self).__name__} needs it")
        super().__delattr__(name)

    def _network_options(self) -> dict[str, Any]:
        """Keyword arguments of this module's `_core.Network` beyond the sizes."""
        return {"bias": self.bias, "dtype": self.dtype.name}

    def _build(self) -> dict[str, tuple[int, ...]]:
        """Make the compiled network; the parameters' shapes by name."""
        self._network = self._make_network()
        return parameter_shapes(self._network, self._suffix)

    def _make_network(self) -> _core.Network:
        """The compiled network, or another with its interface."""
        return _core.Network(self._cell, self.input_size, self.hidden_size, **self._network_options())

    def _initialise(self) -> None:
        """Make the network and draw its parameters."""
        shapes = self._build()
        self._params = Params(self._network, shapes, self.dtype, drawn(shapes, self.hidden_size, self.rng))

    @property
    def params(self) -> Params:
        """The parameters by name (torch.nn's names): plain arrays, to be changed in place or assigned.

        Assigning raises ValueError for an unknown name or a wrong shape, TypeError for values that are not floats.
        """
        return self._params

    def load_params(self, mapping: Mapping[str, object]) -> None:
        """Copy the values of `mapping` into the parameters.

        Args:
            mapping: every parameter by name and no other, as in a torch `state_dict`: arrays, or anything
                `numpy.asarray` takes. Floats of any precision; they are converted to the layer's dtype.

        Raises:
            ValueError: a name is missing or unexpected, or a shape is wrong.
            TypeError: a value is not an array of floats.

        Everything is checked first: after an error no parameter has changed. The values are written into the arrays
        in `params`, also into one that was assigned (and is kept elsewhere too), except those that are read-only or
        share memory with another parameter: new arrays take their places.
        """
        self._params.load(mapping)

    @property
    def num_params(self) -> int:
        """How many free parameters there are.

        Biases that only ever appear as a sum, b_ih + b_hh, count once: RNN(5, 3) has 15 + 9 + 3 = 27. Of a GRU's
        b_hh only b_hn, which the reset gate scales, counts on its own (cells.md, GRU reset after).
        """
        free_part_of_b_hh = self._gates_with_two_biases() * self.hidden_size
        return sum(
            free_part_of_b_hh if name.startswith("bias_hh") else array.size for name, array in self._params.items()
        )

    def _gates_with_two_biases(self) -> int:
        """How many gates use b_ih and b_hh apart, not only their sum: n of a GRU, whose reset gate scales b_hn only."""
        return 1 if self._cell == "gru" else 0

    def freeze(self) -> None:
        """Make the parameters read-only, so that no call has to look whether they have changed.

        A call reads all parameters once to notice a change, which takes longer than a short sequence itself where a
        network is large. Of a frozen module it does not: a call of one step costs about what a stream's step costs. An
        array that is a view of other memory, which could still be written there, gives way to a copy. Assigning to
        `params` and `load_params` raise ValueError until `unfreeze`, and so do optimisers. Copies and pickles are not
        frozen.
        """
        self._params.freeze()

    def unfreeze(self) -> None:
        """Make the parameters writeable again."""
        self._params.unfreeze()

    @property
    def frozen(self) -> bool:
        """Whether `freeze` is in force."""
        return self._network.frozen

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_network"]
        state["_params"] = dict(self._params)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        shapes = self._build()
        self._params = Params(self._network, shapes, self.dtype, state["_params"])

    def _options_repr(self) -> list[str]:
        """The arguments `__repr__` shows after the sizes: those that differ from their defaults."""
        return []

    def __repr__(self) -> str:
        options = [str(self.input_size), str(self.hidden_size), *self._options_repr()]
        if self.dtype != np.float32:
            options.append(f"dtype={self.dtype}")
        return f"{type(self).__name__}({', '.join(options)})"
