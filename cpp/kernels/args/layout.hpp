// How packed weights lie in memory, and the sizes that bits depend on.
//
// A *unit block* is one cache line of units (16 float, 8 double). A *micro-panel* is the packed weights of one unit
// block, [k][unit in block].
//   packed gates   a micro-panel for every unit block and gate, in the order [unit block][gate]: LSTM, GRU
//   packed matrix  a micro-panel for every unit block: everything else
// How they lie depends on the instruction set (KernelTable::interleaved):
//   interleaved    A vector is a whole cache line. Neighbouring micro-panels are interleaved by k, as
//                  [k][micro-panel][unit], so that a tile reads one stream: all gates of a unit block, or up to
//                  `max_interleaved` unit blocks.
//   separate       A vector is shorter. The micro-panels lie one after the other.
// Columns past the true width are zero. Everything else (inputs, states, tape, gradients) is compact.
#pragma once

#include <cstddef>

#include "../tuning.hpp"

namespace fusedrnn {

using Index = std::ptrdiff_t;

inline constexpr Index cache_line = 64;
template <class T>
inline constexpr Index unit_block = cache_line / static_cast<Index>(sizeof(T));

// Numerics, not tuning: another value gives other bits.
inline constexpr Index reduction_block = 512;  // rows (time x batch) in one chain of a weight gradient
inline constexpr Index gradient_chain = 512;   // gate gradients in one chain of dh and dx: all gates' would lose digits

inline constexpr Index max_interleaved = tuning::interleaved_panels;
template <class T>
inline constexpr Index linear_tile_columns =
    2 * max_interleaved * unit_block<T>;  // of a packed matrix in a tile, at most

[[gnu::always_inline]] constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
template <class T>
[[gnu::always_inline]] constexpr Index padded_units(Index n) {
    return ceil_div(n, unit_block<T>) * unit_block<T>;
}

// Where a micro-panel begins, and how far apart its k lie, when up to `together` neighbours are interleaved.
struct MicroPanelPlace {
    Index offset, k_stride;
};
template <class T>
[[gnu::always_inline]] constexpr MicroPanelPlace micro_panel_place(Index panel, Index panels, Index depth,
                                                                   Index together) {
    const Index first = panel / together * together;
    const Index width = panels - first < together ? panels - first : together;
    return {(first * depth + (panel - first)) * unit_block<T>, width * unit_block<T>};
}

}  // namespace fusedrnn
