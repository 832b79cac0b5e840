// The one register tile: MR rows times NV vectors of running sums, each sum a single chain of fused multiply-adds in k.
//
// Rows come by pointer, so that any layout is read in place. The packed weights hold, for every k, the vectors to
// multiply with; accumulator_of says which accumulator each of them feeds (GRU feeds n's recurrent half apart from its
// input half).
#pragma once

#include "kernel_table.hpp"
#include "simd/simd.hpp"
#include "simd/target.hpp"
#include "tuning.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
inline constexpr int vectors_per_block = static_cast<int>(unit_block<T> / Vec<T>::width);

// The layout of packed weights. If a vector is a whole cache line (AVX-512), neighbouring micro-panels are interleaved
// by k. If it is shorter (AVX2, NEON, scalar), they lie one after the other, and several rows are multiplied with one
// micro-panel at a time (gemm/micro_panels.hpp).
template <class T>
inline constexpr bool interleaved = vectors_per_block<T> == 1;

// Register blocks: rows times vectors of running sums that fill the register file, leaving room for the vectors of
// weights.
template <class T>
struct Blocking {
    static constexpr bool fits_all_rows = FUSEDRNN_VECTOR_REGISTERS == 32 || vectors_per_block<T> == 2;
    static constexpr int max_rows = fits_all_rows ? tuning::tile_rows : tuning::tile_rows_of_few_registers;
    static constexpr int enough_rows = interleaved<T> ? tuning::enough_rows_interleaved : (2 * max_rows + 2) / 3;
    static constexpr int columns_while_waiting =
        interleaved<T> ? tuning::columns_while_waiting_interleaved : tuning::columns_while_waiting_separate;
    static constexpr int linear_vectors = tuning::tile_vectors;
    static constexpr int single_row_vectors = tuning::single_row_vectors;
    template <int MR>
    static constexpr int vectors_of_rows = MR == 1 ? single_row_vectors : linear_vectors;
};

using tuning::few_rows;

// Sums and one k of the weights leave no register over.
template <int MR, int NV>
inline constexpr bool fills_registers = (MR + 1) * NV >= FUSEDRNN_VECTOR_REGISTERS;

// Rows of a where they lie: one pointer each, k contiguous.
template <class T>
struct Rows {
    const T* pointer[tuning::tile_rows];
    FUSEDRNN_INLINE T operator()(int row, Index k) const { return pointer[row][k]; }
};

// a packed for one tile: [k][MR].
template <class T, int MR>
struct PackedRows {
    const T* packed;
    FUSEDRNN_INLINE T operator()(int row, Index k) const { return packed[k * MR + row]; }
};

struct NoPrefetch {
    FUSEDRNN_INLINE void operator()() const {}
};

// sum[r][accumulator_of(j)] += a(r, k) * vector j of the weights' row k, which starts at offset(j); rows are k_stride
// apart. prefetch() is called once in `Unroll` rows.
template <class V, int MR, int NV, int Unroll = 1, int NSums, class A, class T, class Offset, class AccumulatorOf,
          class Prefetch = NoPrefetch>
FUSEDRNN_INLINE void accumulate(V (&sum)[MR][NSums], const A& a, const T* packed, Index depth, Index k_stride,
                                Offset offset, AccumulatorOf accumulator_of, Prefetch prefetch = {}) {
    const auto step = [&](Index k) FUSEDRNN_LAMBDA {
        V b[NV];
#pragma GCC unroll 16
        for (int j = 0; j < NV; ++j) {
            b[j] = V::load(packed + offset(j));
            // Or GCC loads it again for each of a few rows, and loads are what bounds those.
            if constexpr (MR > 1 && MR <= few_rows && !fills_registers<MR, NV>) keep_in_register(b[j]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
            const V x = V::broadcast(a(r, k));
#pragma GCC unroll 16
            for (int j = 0; j < NV; ++j) sum[r][accumulator_of(j)] = fma(x, b[j], sum[r][accumulator_of(j)]);
        }
        packed += k_stride;
    };
    Index k = 0;
    if constexpr (Unroll > 1)
        for (; k + Unroll <= depth; k += Unroll) {
            prefetch();
#pragma GCC unroll 8
            for (int i = 0; i < Unroll; ++i) step(k + i);
        }
    for (; k < depth; ++k) step(k);
}

template <class V>
struct Contiguous {
    FUSEDRNN_INLINE constexpr Index operator()(int j) const { return j * V::width; }
};

struct SameAccumulator {
    FUSEDRNN_INLINE constexpr int operator()(int j) const { return j; }
};

// Calls visit(i) for 0 <= i < count, upwards or downwards. Steps go through the weights in serpentine order, one
// upwards and the next one downwards: each begins with the weights that the step before used last, which are still in
// the L1 cache.
template <class Visit>
FUSEDRNN_INLINE void for_each_serpentine(Index count, bool descending, Visit visit) {
    for (Index i = 0; i < count; ++i) visit(descending ? count - 1 - i : i);
}

// The end of the k-block that begins at k, if k-blocks are `block` long and there are `depth` terms.
FUSEDRNN_INLINE constexpr Index end_of_k_block(Index k, Index depth, Index block) {
    return depth - k < block ? depth : k + block;
}

// Calls visit(k, terms) for one k-block after the other; once, without terms, if there are none.
template <class Visit>
FUSEDRNN_INLINE void for_each_k_block(Index depth, Index block, Visit visit) {
    Index k = 0;
    do {
        const Index end = end_of_k_block(k, depth, block);
        visit(k, end - k);
        k = end;
    } while (k < depth);
}

// A tile's size as a type, so that a visitor can be handed it.
template <int MR, int U>
struct TileSize {
    static constexpr int rows = MR;
    static constexpr int vectors = U;
};

template <int N>
struct Constant {
    static constexpr int value = N;
};

// Calls visit(Constant<n>) for 1 <= n <= Most.
template <int Most, int N = 1, class Visit>
FUSEDRNN_INLINE void with_constant(Index n, Visit visit) {
    if constexpr (N == Most) {
        visit(Constant<N>{});
    } else {
        if (n == N) return visit(Constant<N>{});
        with_constant<Most, N + 1>(n, visit);
    }
}

// Splits `rows` into tiles as even as possible, none above `max_rows`, and calls visit(first row, row count).
template <class Visit>
FUSEDRNN_INLINE void for_each_row_tile(Index rows, Index max_rows, Visit visit) {
    const Index tiles = ceil_div(rows, max_rows);
    if (tiles == 0) return;
    const Index base = rows / tiles, longer = rows % tiles;
    Index first = 0;
    for (Index i = 0; i < tiles; ++i) {
        const Index count = base + (i < longer ? 1 : 0);
        visit(first, count);
        first += count;
    }
}

template <class V, class T>
FUSEDRNN_INLINE V load_lanes(const T* p, Index lanes) {
    return lanes >= V::width ? V::load(p) : V::load_first(p, static_cast<int>(lanes));
}

template <class V, class T>
FUSEDRNN_INLINE void store_lanes(V v, T* p, Index lanes) {
    if (lanes >= V::width)
        v.store(p);
    else
        v.store_first(p, static_cast<int>(lanes));
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
