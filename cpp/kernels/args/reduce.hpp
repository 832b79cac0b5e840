// Arguments of sums over rows: what weight gradients are.
#pragma once

#include "layout.hpp"

namespace fusedrnn {

// out[m][n] += sum over rows of a[row][m] * b[row][n], in chains of `reduction_block` rows, the blocks added last to
// first, for up to two operands b that share a, of which each may see other columns.
inline constexpr int outer_max_b = 2;
template <class T>
struct OuterB {
    const T* const* b;  // (rows) pointers to (columns), read
    Index columns;
};

// Columns [first, first + count) of a, and where their sums go.
template <class T>
struct OuterPartOfA {
    Index first, count;
    T* out[outer_max_b];   // with operand b of index i: (count, its columns). Null: the operand does not see them
    T* sums[outer_max_b];  // sums[i][m] += sum over rows of a[row][first + m]. Null: none
};

template <class T>
struct OuterArgs {
    Index rows;
    const T* const* a;  // (rows) pointers, read
    const OuterPartOfA<T>* a_parts;
    int a_part_count;
    const OuterB<T>* b;
    int b_count;
    T* scratch;  // outer_scratch() elements, owned by this call
};

template <class T>
inline constexpr Index outer_chunk = tuning::outer_chunk_blocks * unit_block<T>;  // columns of a packed at a time

// Room for a chunk of a, and for the packed panels of all operands b, none of which holds columns of two.
template <class T>
[[gnu::always_inline]] constexpr Index outer_scratch(const OuterB<T>* b, int count) {
    constexpr Index columns = tuning::outer_panel_blocks * unit_block<T>;
    Index panels = 0;
    for (int i = 0; i < count; ++i) panels += ceil_div(b[i].columns, columns);
    if (panels > tuning::outer_panels) panels = tuning::outer_panels;
    return reduction_block * (outer_chunk<T> + panels * columns) + outer_chunk<T> * unit_block<T> + cache_line;
}

}  // namespace fusedrnn
