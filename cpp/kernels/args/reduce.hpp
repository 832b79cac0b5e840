// Arguments of sums over rows: what weight gradients are.
#pragma once

#include "layout.hpp"

namespace fusedrnn {

// out[m][n] += sum over rows of a[row][m] * b[row][n], in chains of `reduction_block` rows, the blocks added last to
// first, for up to two right operands b that share a, of which each may see other columns.
inline constexpr int outer_max_rights = 2;
template <class T>
struct OuterRight {
    const T* const* b;  // (rows) pointers to (columns), read
    Index columns;
};

// Columns [first, first + count) of a, and where their sums go.
template <class T>
struct OuterLeft {
    Index first, count;
    T* out[outer_max_rights];   // with right operand i: (count, its columns). Null: the operand does not see them
    T* sums[outer_max_rights];  // sums[i][m] += sum over rows of a[row][first + m], in the same blocks. Null: not
                                // wanted
};

template <class T>
struct OuterArgs {
    Index rows;
    const T* const* a;  // (rows) pointers, read
    const OuterLeft<T>* left;
    int left_count;
    const OuterRight<T>* right;
    int right_count;
    T* scratch;  // outer_scratch() elements, owned by this call
};

template <class T>
inline constexpr Index outer_chunk = tuning::outer_chunk_blocks * unit_block<T>;  // columns of a packed at a time

// Room for a chunk of a, and for the packed panels of all right operands, none of which holds columns of two.
template <class T>
[[gnu::always_inline]] constexpr Index outer_scratch(const OuterRight<T>* right, int count) {
    constexpr Index columns = tuning::outer_panel_blocks * unit_block<T>;
    Index panels = 0;
    for (int i = 0; i < count; ++i) panels += ceil_div(right[i].columns, columns);
    if (panels > tuning::outer_panels) panels = tuning::outer_panels;
    return reduction_block * (outer_chunk<T> + panels * columns) + outer_chunk<T> * unit_block<T> + cache_line;
}

}  // namespace fusedrnn
