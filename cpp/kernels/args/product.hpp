// Arguments of a plain product with a packed matrix.
#pragma once

#include "layout.hpp"

namespace fusedrnn {

// out[r] = start + a[r] * b, one chain; or, by_chains, sums of at most `gradient_chain` terms each, added in order.
template <class T>
struct LinearArgs {
    Index rows;
    const T* const* a;     // (rows) pointers to (depth), read
    T* const* out;         // (rows) pointers to (columns), written; they overlap neither a nor each other
    Index depth, columns;  // k count, true output width
    const T* b;            // packed matrix
    const T* start;        // padded to whole blocks, or null for zero
    bool by_chains;
    bool add_to_out;               // only by_chains: the first sum is added too, otherwise it replaces what out holds
    Index block_begin, block_end;  // the blocks of columns this call computes
};

}  // namespace fusedrnn
