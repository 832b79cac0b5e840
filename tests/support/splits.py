"""Calls whose work is shared out between threads, one list for each way that cpp/rnn/plan/split.cpp has to do it."""

from __future__ import annotations

from problems import Problem

DX_OVERLAPPED = [
    Problem("lstm proj", steps=50, batch=1, inputs=100, hidden=160, truncate=19),
    Problem("gru", steps=1100, batch=1, inputs=33, hidden=176),
]
"""One row, whose dx is computed overlapped: in several chains, in part of a cache line, in several step blocks."""

SPLITS = {
    "rows": [
        Problem("lstm", steps=10, batch=33, inputs=20, hidden=65, cells=True),
        Problem("gru", steps=12, batch=64, inputs=33, hidden=63, layers=2, lengths="ragged", reset=True),
        Problem("lstm proj", steps=9, batch=25, inputs=65, hidden=97, bidirectional=True, lengths="ragged"),
        Problem("rnn tanh", steps=20, batch=64, inputs=33, hidden=97, truncate=7),
        Problem("rnn relu", steps=20, batch=17, inputs=97, hidden=129, bidirectional=True),
        Problem("gru", steps=60, batch=3, inputs=33, hidden=65),
        Problem("lstm", steps=700, batch=9, inputs=33, hidden=64, lengths="one long"),
    ],
    "units": [
        Problem("lstm", steps=12, batch=1, inputs=33, hidden=257, cells=True),
        Problem("lstm", steps=9, batch=2, inputs=5, hidden=256, layers=2, reset=True, lengths="ragged"),
        Problem("lstm proj", steps=11, batch=1, inputs=33, hidden=300, truncate=4),
        Problem("lstm proj", steps=11, batch=3, inputs=33, hidden=270, bidirectional=True, reset=True),
        Problem("gru", steps=14, batch=1, inputs=65, hidden=261, reset=True),
        Problem("gru", steps=27, batch=1, inputs=40, hidden=272, bidirectional=True, reset=True),
        Problem("gru", steps=9, batch=1, inputs=33, hidden=256, bidirectional=True, layout="unbatched"),
        Problem("rnn tanh", steps=30, batch=1, inputs=33, hidden=385, reset=True, truncate=11),
        Problem("rnn tanh", steps=30, batch=2, inputs=33, hidden=320, layers=2, lengths="ragged"),
        Problem("rnn tanh", steps=300, batch=3, inputs=33, hidden=257, bidirectional=True, truncate=100),
        *DX_OVERLAPPED,
    ],
    "layers": [
        Problem("lstm", steps=60, batch=1, inputs=33, hidden=64, layers=4),
        Problem("gru", steps=60, batch=2, inputs=20, hidden=65, layers=5, lengths="ragged", reset=True),
        Problem("lstm", steps=100, batch=1, inputs=5, hidden=65, layers=3, cells=True, reset=True, truncate=9),
        Problem("rnn tanh", steps=130, batch=1, inputs=65, hidden=97, layers=2, layout="unbatched"),
        Problem("rnn relu", steps=50, batch=7, inputs=33, hidden=40, layers=4, lengths="ragged"),
        Problem("gru", steps=60, batch=1, inputs=33, hidden=64, layers=3, layout="batch first"),
    ],
    "directions": [
        Problem("lstm", steps=60, batch=1, inputs=64, hidden=63, bidirectional=True, cells=True),
        Problem("gru", steps=70, batch=1, inputs=65, hidden=65, bidirectional=True, reset=True),
        Problem("rnn tanh", steps=90, batch=2, inputs=129, hidden=97, bidirectional=True, lengths="ragged"),
        Problem("lstm proj", steps=60, batch=1, inputs=65, hidden=65, bidirectional=True, layers=2, truncate=7),
    ],
}
