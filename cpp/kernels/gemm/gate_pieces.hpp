// Gate products in pieces of k, the sums waiting in memory between them. All rows pass over one piece of a unit block's
// panel while it is in a near cache: the L1 cache where a vector is narrower than a cache line, so that the panel would
// otherwise be fetched once per part of the line and row tile; the L2 cache where a whole panel is too deep for it.
// Every sum goes on from where the piece before left it: the chain, and so every bit, is that of the plain tile.
#pragma once

#include "gemm/gate_tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T, int Gates>
struct GatePieces {
    using V = Vec<T>;
    static constexpr Index max_rows = 8 * Blocking<T>::max_rows;  // whose sums share the cache with the piece
    static constexpr bool narrow = vectors_per_block<T> > 1;
    static constexpr Index k_stride = Gates * unit_block<T>;
    static constexpr Index near_cache = narrow ? 16 * 1024 : 512 * 1024;
    static constexpr Index piece = near_cache / (k_stride * static_cast<Index>(sizeof(T)));

    FUSEDRNN_INLINE static bool worth_it(Index rows, Index depth) {
        return rows > Blocking<T>::max_rows && depth > (narrow ? 1 : 2) * piece;
    }

    // sum_rows[r][slot(gate)][unit of the block] += rows[r] * panel of the block.
    template <class Slot>
    static void add(T* const* sum_rows, const T* const* rows, Index count, const T* panels, Index depth, Index block,
                    Slot slot) {
        const T* panel = panels + block * depth * k_stride;
        for (Index k = 0; k < depth; k += piece) {
            const Index now = depth - k < piece ? depth - k : piece;
            for_each_row_tile(count, Blocking<T>::max_rows, [&](Index first, Index height) FUSEDRNN_LAMBDA {
                switch (height) {
                    case 1: tile<1>(sum_rows + first, rows + first, panel, k, now, slot); break;
                    case 2: tile<2>(sum_rows + first, rows + first, panel, k, now, slot); break;
                    case 3: tile<3>(sum_rows + first, rows + first, panel, k, now, slot); break;
#if FUSEDRNN_VECTOR_REGISTERS == 32
                    case 4: tile<4>(sum_rows + first, rows + first, panel, k, now, slot); break;
                    case 5: tile<5>(sum_rows + first, rows + first, panel, k, now, slot); break;
                    case 6: tile<6>(sum_rows + first, rows + first, panel, k, now, slot); break;
#endif
                    default: break;
                }
            });
        }
    }

    template <int MR, class Slot>
    static void tile(T* const* sum_rows, const T* const* rows, const T* panel, Index k, Index depth, Slot slot) {
        Rows<T> a;
        for (int r = 0; r < MR; ++r) a.pointer[r] = rows[r] + k;
        for (Index within = 0; within < unit_block<T>; within += V::width) {
            V sum[MR][Gates];
#pragma GCC unroll 8
            for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
                for (int g = 0; g < Gates; ++g) sum[r][g] = V::load(sum_rows[r] + slot(g) * unit_block<T> + within);
            accumulate<V, MR, Gates>(sum, a, panel + k * k_stride + within, depth, k_stride, BlockOffset{}, SameSlot{});
#pragma GCC unroll 8
            for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
                for (int g = 0; g < Gates; ++g) sum[r][g].store(sum_rows[r] + slot(g) * unit_block<T> + within);
        }
    }

    struct BlockOffset {
        FUSEDRNN_INLINE constexpr Index operator()(int gate) const { return gate * unit_block<T>; }
    };
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
