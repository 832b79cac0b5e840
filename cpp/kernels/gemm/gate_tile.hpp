// The tile over packed gates: all sums of U neighbouring unit vectors for MR rows, finished by a visitor while they are
// still in registers (one row) or in the L1 cache (several rows, where the registers are full). If micro-panels are not
// interleaved, the tile takes one row only; several rows go through gemm/micro_panels.hpp.
#pragma once

#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Vector `v` of the units (a unit block holds vectors_per_block of them): where its block is and where in the block.
template <class T>
struct UnitVector {
    Index block, within;
    FUSEDRNN_INLINE explicit UnitVector(Index v)
        : block(v / vectors_per_block<T>), within((v % vectors_per_block<T>)*Vec<T>::width) {}
};

// Offset of vector j = u * gates + gate, from the first one of U vectors that start at a multiple of U.
template <class T, int Gates>
struct GateOffset {
    Index block_stride, gate_stride;
    FUSEDRNN_INLINE Index operator()(int j) const {
        const int u = j / Gates, gate = j % Gates;
        return (u / vectors_per_block<T>)*block_stride + gate * gate_stride + (u % vectors_per_block<T>)*Vec<T>::width;
    }
};

// sum[r][u * Accumulators + accumulator_of(gate)] += rows * packed gates, for the U unit vectors from `at` on.
template <class T, int MR, int U, int Gates, int Accumulators, class AccumulatorOf>
FUSEDRNN_INLINE void accumulate_gates(Vec<T> (&sum)[MR][U * Accumulators], const Rows<T>& a, const T* packed,
                                      Index depth, UnitVector<T> at, AccumulatorOf accumulator_of) {
    const Index block_stride = depth * Gates * unit_block<T>;
    const Index gate_stride = interleaved<T> ? unit_block<T> : depth * unit_block<T>;
    const Index k_stride = interleaved<T> ? Gates * unit_block<T> : unit_block<T>;
    accumulate<Vec<T>, MR, U * Gates>(
        sum, a, packed + at.block * block_stride + at.within, depth, k_stride,
        GateOffset<T, Gates>{block_stride, gate_stride},
        [accumulator_of](int j) FUSEDRNN_LAMBDA { return (j / Gates) * Accumulators + accumulator_of(j % Gates); });
}

// Calls visit(tile size, first row, unit vector) over all row tiles and unit vectors of a block range, up or down. One
// row alone takes several unit vectors at once, so that enough sums are in flight.
template <class T, class Visit>
FUSEDRNN_INLINE void for_each_gate_tile(Index rows, Index hidden, Index block_begin, Index block_end, bool descending,
                                        Visit visit) {
    using V = Vec<T>;
    constexpr int wide = tuning::single_row_units;
    const Index end_of_units = ceil_div(hidden, V::width);
    Index end = block_end * vectors_per_block<T>;
    if (end > end_of_units) end = end_of_units;
    const Index begin = block_begin * vectors_per_block<T>;
    if (end <= begin) return;
    if (!interleaved<T> || rows == 1) {
        const Index wides = (end - begin) / wide;
        return for_each_serpentine(ceil_div(end - begin, wide), descending, [&](Index i) FUSEDRNN_LAMBDA {
            if (i < wides)
                visit(TileSize<1, wide>{}, Index{0}, begin + i * wide);
            else
                visit(TileSize<1, 1>{}, Index{0}, begin + i * wide);
        });
    }
    if constexpr (interleaved<T>)
        for_each_serpentine(end - begin, descending, [&](Index i) FUSEDRNN_LAMBDA {
            for_each_row_tile(rows, Blocking<T>::max_rows, [&](Index first, Index count) FUSEDRNN_LAMBDA {
                with_constant<Blocking<T>::max_rows>(
                    count, [&](auto n) FUSEDRNN_LAMBDA { visit(TileSize<n.value, 1>{}, first, begin + i); });
            });
        });
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
