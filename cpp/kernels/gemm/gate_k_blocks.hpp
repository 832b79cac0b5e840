// Gate products in k-blocks, for interleaved micro-panels. If the gates of a unit block are too deep for the L2 cache,
// all rows pass over one k-block of them while it is there, and the sums wait in memory. Every sum goes on from where
// the k-block before left it, so it has the bits of the plain tile.
#pragma once

#include "gemm/gate_tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T, int Gates>
struct GateKBlocks {
    using V = Vec<T>;
    static constexpr Index max_rows =
        tuning::k_block_tiles * Blocking<T>::max_rows;  // whose sums share the cache with the k-block
    static constexpr Index k_stride = Gates * unit_block<T>;
    static constexpr Index k_block = l2_bytes / (k_stride * static_cast<Index>(sizeof(T)));

    FUSEDRNN_INLINE static bool worth_it(Index rows, Index depth) {
        return rows > Blocking<T>::max_rows && depth > tuning::min_k_blocks * k_block;
    }

    // sum_rows[r][accumulator_of(gate)][unit of the block] += rows[r] * packed gates of the block.
    template <class AccumulatorOf>
    static void add(T* const* sum_rows, const T* const* rows, Index count, const T* packed, Index depth, Index block,
                    AccumulatorOf accumulator_of) {
        static_assert(interleaved<T>);
        const T* gates = packed + block * depth * k_stride;
        for (Index k = 0; k < depth; k += k_block) {  // through for_each_k_block GCC 12 spills nine sums more
            const Index terms = depth - k < k_block ? depth - k : k_block;
            for_each_row_tile(count, Blocking<T>::max_rows, [&](Index first, Index height) FUSEDRNN_LAMBDA {
                with_constant<Blocking<T>::max_rows>(height, [&](auto n) FUSEDRNN_LAMBDA {
                    tile<n.value>(sum_rows + first, rows + first, gates, k, terms, accumulator_of);
                });
            });
        }
    }

    template <int MR, class AccumulatorOf>
    static void tile(T* const* sum_rows, const T* const* rows, const T* gates, Index k, Index depth,
                     AccumulatorOf accumulator_of) {
        Rows<T> a;
        for (int r = 0; r < MR; ++r) a.pointer[r] = rows[r] + k;
        V sum[MR][Gates];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int g = 0; g < Gates; ++g) sum[r][g] = V::load(sum_rows[r] + accumulator_of(g) * unit_block<T>);
        accumulate<V, MR, Gates>(sum, a, gates + k * k_stride, depth, k_stride, BlockOffset{}, SameAccumulator{});
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int g = 0; g < Gates; ++g) sum[r][g].store(sum_rows[r] + accumulator_of(g) * unit_block<T>);
    }

    struct BlockOffset {
        FUSEDRNN_INLINE constexpr Index operator()(int gate) const { return gate * unit_block<T>; }
    };
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
