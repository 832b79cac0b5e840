// Plain products through the tile: out[r][n] = start[n] + sum_k a[r][k] * panel[k][n], and a visitor in place of the
// store for the cells whose equations follow one sum per unit (simple RNN forward, every backward pass).
#pragma once

#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Where the columns of unit block `block` start in linear panels, and how far apart its rows are.
template <class T>
struct LinearPanel {
    const T* first;              // k = 0 of this block
    Index k_stride;
    Index group_stride;          // from this group to the next
    Index blocks_in_group_left;  // counted from this block

    FUSEDRNN_INLINE LinearPanel(const T* panels, Index depth, Index columns, Index block) {
        const Index all_blocks = ceil_div(columns, unit_block<T>);
        const Index group = block / linear_group, within = block % linear_group;
        const Index left_in_matrix = all_blocks - group * linear_group;
        const Index width = left_in_matrix < linear_group ? left_in_matrix : linear_group;
        k_stride = width * unit_block<T>;
        group_stride = k_stride * depth;
        first = panels + group * linear_group * unit_block<T> * depth + within * unit_block<T>;
        blocks_in_group_left = width - within;
    }
};

// Vector j of a tile: inside one group the vectors are neighbours; a wide tile goes on in the next group.
template <class T>
struct LinearOffset {
    static constexpr int vectors_per_group = static_cast<int>(linear_group * unit_block<T> / Vec<T>::width);
    Index group_stride;
    FUSEDRNN_INLINE constexpr Index operator()(int j) const {
        return j / vectors_per_group * group_stride + j % vectors_per_group * Vec<T>::width;
    }
};

// One tile's sums, started and finished by the caller's functions:
//   start(row, vector) -> V,   finish(row, vector, V).
template <class V, int MR, int NV, class T, class Start, class Finish>
FUSEDRNN_INLINE void linear_tile(const Rows<T>& a, const T* panel, Index depth, Index k_stride, Index group_stride,
                                 Start start, Finish finish) {
    V sum[MR][NV];
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
        for (int j = 0; j < NV; ++j) sum[r][j] = start(r, j);
    accumulate<V, MR, NV, NV>(sum, a, panel, depth, k_stride, LinearOffset<T>{group_stride}, SameSlot{});
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
        for (int j = 0; j < NV; ++j) finish(r, j, sum[r][j]);
}

// The tile as a function of run-time sizes, writing its sums to `out` (MR rows, `out_stride` apart, whole vectors).
template <class T>
struct LinearTile {
    using V = Vec<T>;
    using Block = Blocking<T>;

    // `begin`: null, or sums to start from, laid out as `out` (begin_stride 0: one row of starts for all).
    template <int MR, int NV>
    static void run(const Rows<T>& a, const T* panel, Index depth, Index k_stride, Index group_stride, const T* begin,
                    Index begin_stride, T* out, Index out_stride) {
        if (begin)
            linear_tile<V, MR, NV>(
                a, panel, depth, k_stride, group_stride,
                [=](int r, int j) FUSEDRNN_LAMBDA { return V::load(begin + r * begin_stride + j * V::width); },
                [=](int r, int j, V v) FUSEDRNN_LAMBDA { v.store(out + r * out_stride + j * V::width); });
        else
            linear_tile<V, MR, NV>(
                a, panel, depth, k_stride, group_stride, [](int, int) FUSEDRNN_LAMBDA { return V::zero(); },
                [=](int r, int j, V v) FUSEDRNN_LAMBDA { v.store(out + r * out_stride + j * V::width); });
    }

    using Function = void (*)(const Rows<T>&, const T*, Index, Index, Index, const T*, Index, T*, Index);

    template <int MR>
    static Function by_vectors(Index vectors) {
        if constexpr (MR == 1)
            if (vectors == Block::single_row_vectors) return run<1, Block::single_row_vectors>;
        switch (vectors) {
            case 1: return run<MR, 1>;
            case 2: return run<MR, 2>;
            case 3: return run<MR, 3>;
            default: return run<MR, 4>;
        }
    }

    static Function choose(Index rows, Index vectors) {
        switch (rows) {
            case 1: return by_vectors<1>(vectors);
            case 2: return by_vectors<2>(vectors);
            case 3: return by_vectors<3>(vectors);
#if FUSEDRNN_VECTOR_REGISTERS == 32
            case 4: return by_vectors<4>(vectors);
            case 5: return by_vectors<5>(vectors);
            default: return by_vectors<6>(vectors);
#else
            default: return nullptr;
#endif
        }
    }
};

// Walks the columns of blocks [block_begin, block_end) in tile-wide pieces:
// visit(first column, vectors, panel). Only a single row's wide tile spans two groups, both of them full.
template <class T, class Visit>
FUSEDRNN_INLINE void for_each_column_tile(const T* panels, Index depth, Index columns, Index block_begin,
                                          Index block_end, bool single_row, Visit visit) {
    using V = Vec<T>;
    constexpr Index wide = Blocking<T>::single_row_vectors, blocks_of_wide = wide * V::width / unit_block<T>;
    static_assert(wide * V::width <= linear_tile_columns<T>);
    const Index whole_blocks = columns / unit_block<T>;  // without padding
    Index block = block_begin;
    while (block < block_end) {
        LinearPanel<T> panel(panels, depth, columns, block);
        const T* const first = panel.first;
        const Index first_column = block * unit_block<T>;
        if (single_row && block % linear_group == 0 && blocks_of_wide > linear_group &&
            block + blocks_of_wide <= (whole_blocks < block_end ? whole_blocks : block_end)) {
            visit(first_column, wide, panel);
            block += blocks_of_wide;
            continue;
        }
        Index blocks = panel.blocks_in_group_left;
        if (blocks > block_end - block) blocks = block_end - block;
        Index valid = columns - first_column;
        if (valid > blocks * unit_block<T>) valid = blocks * unit_block<T>;
        const Index vectors = ceil_div(valid, V::width);  // vectors wholly in the padding are never touched
        Index done = 0;
        while (done < vectors) {
            Index now = vectors - done;
            if (single_row && now >= wide && wide <= LinearOffset<T>::vectors_per_group)
                now = wide;
            else if (now > Blocking<T>::linear_vectors)
                now = Blocking<T>::linear_vectors;
            panel.first = first + done * V::width;
            visit(first_column + done * V::width, now, panel);
            done += now;
        }
        block += blocks;
    }
}

// Products deeper than this are walked in pieces, so that a piece of the panel stays in the L2 cache for all rows. The
// sums go on from where the piece before left them: the chain, and so every bit, is the same.
inline constexpr Index depth_piece_bytes = 512 * 1024;
template <class T>
FUSEDRNN_INLINE Index depth_piece(Index depth, Index k_stride) {
    const Index piece = depth_piece_bytes / (k_stride * static_cast<Index>(sizeof(T)));
    const Index pieces = ceil_div(depth, piece);
    return pieces <= 1 ? depth : ceil_div(depth, pieces);
}

template <class T>
struct Linear {
    using V = Vec<T>;
    static constexpr Index tile_width = Blocking<T>::single_row_vectors * V::width;

    static void run(const LinearArgs<T>& p) {
        const bool single = p.rows == 1;
        for_each_column_tile<T>(
            p.panel, p.depth, p.columns, p.block_begin, p.block_end, single,
            [&](Index column, Index vectors, LinearPanel<T> panel) FUSEDRNN_LAMBDA {
                const Index piece = p.by_chains                          ? gradient_chain
                                    : p.rows > Blocking<T>::max_rows ? depth_piece<T>(p.depth, panel.k_stride)
                                                                     : p.depth;
                Index k = 0;
                do {
                    const Index depth = p.depth - k < piece ? p.depth - k : piece;
                    for_each_row_tile(p.rows, Blocking<T>::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                        tile(p, first, rows, column, vectors, k, depth, panel);
                    });
                    k += depth;
                    panel.first += depth * panel.k_stride;
                } while (k < p.depth);
            });
    }

    static void tile(const LinearArgs<T>& p, Index first, Index rows, Index column, Index vectors, Index k, Index depth,
                     const LinearPanel<T>& panel) {
        const Index lanes = p.columns - column;
        alignas(cache_line) T buffer[Blocking<T>::max_rows * tile_width];
        Rows<T> a = {};
        for (Index r = 0; r < rows; ++r) a.pointer[r] = p.a[first + r] + k;
        const bool goes_on = k > 0 && !p.by_chains, adds = p.by_chains && (k > 0 || p.add_to_out);
        const auto for_each_vector = [&](auto visit) FUSEDRNN_LAMBDA {
            for (Index r = 0; r < rows; ++r)
                for (Index j = 0; j < vectors; ++j)
                    visit(buffer + r * tile_width + j * V::width, p.out[first + r] + column + j * V::width,
                          lanes - j * V::width);
        };
        if (goes_on)
            for_each_vector([](T* sum, const T* out, Index n) FUSEDRNN_LAMBDA { load_lanes<V>(out, n).store(sum); });
        const T* begin = goes_on ? buffer : p.start ? p.start + column : nullptr;
        LinearTile<T>::choose(rows, vectors)(a, panel.first, depth, panel.k_stride, panel.group_stride, begin,
                                             goes_on ? tile_width : 0, buffer, tile_width);
        if (adds)
            for_each_vector([](const T* sum, T* out, Index n) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(out, n) + V::load(sum), out, n);
            });
        else
            for_each_vector([](const T* sum, T* out, Index n) FUSEDRNN_LAMBDA { store_lanes(V::load(sum), out, n); });
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
