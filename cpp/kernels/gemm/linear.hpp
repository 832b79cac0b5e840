// Plain products through the tile: out[r][n] = start[n] + sum_k a[r][k] * b[k][n] with a packed matrix b; or a visitor
// in place of the store, for what follows one sum per unit (simple RNN forward, every backward pass).
#pragma once

#include "gemm/micro_panels.hpp"
#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Micro-panels that are interleaved in a packed matrix.
template <class T>
inline constexpr Index panels_together = interleaved<T> ? max_interleaved : 1;

// The place of the columns of a unit block in a packed matrix, and how far apart its rows are.
template <class T>
struct PackedColumns {
    const T* first;  // k = 0 of this block
    Index k_stride;
    Index group_stride;  // from this group of interleaved micro-panels to the next

    FUSEDRNN_INLINE PackedColumns(const T* packed, Index depth, Index columns, Index block) {
        const MicroPanelPlace place =
            micro_panel_place<T>(block, ceil_div(columns, unit_block<T>), depth, panels_together<T>);
        k_stride = place.k_stride;
        group_stride = k_stride * depth;
        first = packed + place.offset;
    }
};

// Vector j of a tile: inside one group the vectors are neighbours; a wide tile goes on in the next groups.
template <class T>
struct ColumnOffset {
    static constexpr int vectors_per_group = static_cast<int>(panels_together<T>) * vectors_per_block<T>;
    Index group_stride;
    FUSEDRNN_INLINE constexpr Index operator()(int j) const {
        return j / vectors_per_group * group_stride + j % vectors_per_group * Vec<T>::width;
    }
};

// One tile's sums, started and finished by the caller's functions:
//   start(row, vector) -> V,   finish(row, vector, V).
template <class V, int MR, int NV, class T, class Start, class Finish>
FUSEDRNN_INLINE void linear_tile(const Rows<T>& a, const T* b, Index depth, Index k_stride, Index group_stride,
                                 Start start, Finish finish) {
    V sum[MR][NV];
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
        for (int j = 0; j < NV; ++j) sum[r][j] = start(r, j);
    accumulate<V, MR, NV>(sum, a, b, depth, k_stride, ColumnOffset<T>{group_stride}, SameAccumulator{});
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
    static void run(const Rows<T>& a, const T* b, Index depth, Index k_stride, Index group_stride, const T* begin,
                    Index begin_stride, T* out, Index out_stride) {
        if (begin)
            linear_tile<V, MR, NV>(
                a, b, depth, k_stride, group_stride,
                [=](int r, int j) FUSEDRNN_LAMBDA { return V::load(begin + r * begin_stride + j * V::width); },
                [=](int r, int j, V v) FUSEDRNN_LAMBDA { v.store(out + r * out_stride + j * V::width); });
        else
            linear_tile<V, MR, NV>(
                a, b, depth, k_stride, group_stride, [](int, int) FUSEDRNN_LAMBDA { return V::zero(); },
                [=](int r, int j, V v) FUSEDRNN_LAMBDA { v.store(out + r * out_stride + j * V::width); });
    }

    using Function = void (*)(const Rows<T>&, const T*, Index, Index, Index, const T*, Index, T*, Index);

    template <int MR>
    static Function by_vectors(Index vectors) {
        Function function = nullptr;
        with_constant<Block::template vectors_of_rows<MR>>(
            vectors, [&](auto n) FUSEDRNN_LAMBDA { function = run<MR, n.value>; });
        return function;
    }

    // If micro-panels are not interleaved, for one row only.
    static Function choose(Index rows, Index vectors) {
        Function function = nullptr;
        with_constant<interleaved<T> ? Block::max_rows : 1>(
            rows, [&](auto n) FUSEDRNN_LAMBDA { function = by_vectors<n.value>(vectors); });
        return function;
    }
};

// The columns of blocks [block_begin, block_end) for one row, which takes several separate micro-panels at once.
template <class T, class Visit>
FUSEDRNN_INLINE void for_each_separate_column_tile(const T* packed, Index depth, Index columns, Index block_begin,
                                                   Index block_end, bool descending, Visit visit) {
    constexpr Index width = Vec<T>::width, wide = Blocking<T>::single_row_vectors;
    static_assert(vectors_per_block<T> % wide == 0 || wide % vectors_per_block<T> == 0);
    const Index end = columns < block_end * unit_block<T> ? columns : block_end * unit_block<T>;
    const Index begin = block_begin * unit_block<T>;
    if (end <= begin) return;
    for_each_serpentine(ceil_div(end - begin, wide * width), descending, [&](Index i) FUSEDRNN_LAMBDA {
        const Index column = begin + i * wide * width;
        PackedColumns<T> b(packed, depth, columns, column / unit_block<T>);
        b.first += column % unit_block<T>;
        const Index vectors = ceil_div(end - column, width);
        visit(column, vectors < wide ? vectors : wide, b);
    });
}

// Walks the columns of blocks [block_begin, block_end) in tile-wide steps: visit(first column, vectors, packed
// columns). Vectors wholly in the padding are never touched. Only a single row's wide tile spans several groups of
// interleaved micro-panels, all of them full.
template <class T, class Visit>
FUSEDRNN_INLINE void for_each_column_tile(const T* packed, Index depth, Index columns, Index block_begin,
                                          Index block_end, bool single_row, bool descending, Visit visit) {
    constexpr Index wide = Blocking<T>::single_row_vectors;
    static_assert(wide * Vec<T>::width <= linear_tile_columns<T>);
    if constexpr (!interleaved<T>) {
        for_each_separate_column_tile(packed, depth, columns, block_begin, block_end, descending, visit);
    } else {
        const Index whole_blocks = columns / unit_block<T>;
        // Groups from `first` on that one row takes at once.
        const auto is_wide = [&](Index first) FUSEDRNN_LAMBDA {
            return single_row && first >= block_begin && first % max_interleaved == 0 && first + wide <= whole_blocks &&
                   first + wide <= block_end;
        };
        while (block_begin < block_end) {
            Index first = descending ? (block_end - 1) / max_interleaved * max_interleaved : block_begin;
            if (descending && first + max_interleaved == block_end && is_wide(block_end - wide))
                first = block_end - wide;
            if (first < block_begin) first = block_begin;
            const Index end_of_group = (first / max_interleaved + 1) * max_interleaved;
            const Index end = is_wide(first) ? first + wide : end_of_group < block_end ? end_of_group : block_end;
            visit(first * unit_block<T>, end - first, PackedColumns<T>(packed, depth, columns, first));
            (descending ? block_end : block_begin) = descending ? first : end;
        }
    }
}

// Products deeper than this are walked in k-blocks, so that each stays in the L2 cache for all rows. The
// sums go on from where the k-block before left them: the chain, and so every bit, is the same.
template <class T>
FUSEDRNN_INLINE Index depth_of_k_block(Index depth, Index k_stride) {
    const Index k_block = l2_bytes / (k_stride * static_cast<Index>(sizeof(T)));
    const Index k_blocks = ceil_div(depth, k_block);
    return k_blocks <= 1 ? depth : ceil_div(depth, k_blocks);
}

template <class T>
struct Linear {
    using V = Vec<T>;
    static constexpr Index single_row = Blocking<T>::single_row_vectors * V::width;
    static constexpr Index tile_width = single_row > MicroPanels<T>::width ? single_row : MicroPanels<T>::width;

    static void run(const LinearArgs<T>& p) {
        if constexpr (!interleaved<T>)
            if (p.rows != 1) return by_micro_panels(p);
        const bool single = p.rows == 1;
        for_each_column_tile<T>(
            p.b, p.depth, p.columns, p.block_begin, p.block_end, single, false,
            [&](Index column, Index vectors, PackedColumns<T> b) FUSEDRNN_LAMBDA {
                const Index k_block = p.by_chains                      ? gradient_chain
                                      : p.rows > Blocking<T>::max_rows ? depth_of_k_block<T>(p.depth, b.k_stride)
                                                                       : p.depth;
                for_each_k_block(p.depth, k_block, [&](Index k, Index terms) FUSEDRNN_LAMBDA {
                    for_each_row_tile(p.rows, Blocking<T>::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                        tile(p, first, rows, column, vectors, k, terms, b);
                    });
                    b.first += terms * b.k_stride;
                });
            });
    }

    static void tile(const LinearArgs<T>& p, Index first, Index rows, Index column, Index vectors, Index k, Index depth,
                     const PackedColumns<T>& b) {
        alignas(cache_line) T buffer[Blocking<T>::max_rows * tile_width];
        Rows<T> a = {};
        for (Index r = 0; r < rows; ++r) a.pointer[r] = p.a[first + r] + k;
        const bool goes_on = k > 0 && !p.by_chains, adds = p.by_chains && (k > 0 || p.add_to_out);
        if (goes_on)
            for_each_vector(p, first, rows, column, vectors, buffer,
                            [](T* sum, const T* out, Index n) FUSEDRNN_LAMBDA { load_lanes<V>(out, n).store(sum); });
        const T* begin = goes_on ? buffer : p.start ? p.start + column : nullptr;
        LinearTile<T>::choose(rows, vectors)(a, b.first, depth, b.k_stride, b.group_stride, begin,
                                             goes_on ? tile_width : 0, buffer, tile_width);
        put(p, first, rows, column, vectors, buffer, adds);
    }

    // Several rows with separate micro-panels. A partial sum of all columns goes before the next one, so that the rows'
    // part of it stays in the L2 cache.
    static void by_micro_panels(const LinearArgs<T>& p) {
        const Index k_block = p.by_chains ? gradient_chain : p.depth;
        for_each_row_tile(p.rows, MicroPanels<T>::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
            for_each_k_block(p.depth, k_block, [&](Index k, Index terms) FUSEDRNN_LAMBDA {
                partial_sum_by_micro_panels(p, first, rows, k, terms);
            });
        });
    }

    static void partial_sum_by_micro_panels(const LinearArgs<T>& p, Index first, Index rows, Index k, Index depth) {
        constexpr Index line = unit_block<T>;
        alignas(cache_line) T buffer[MicroPanels<T>::max_rows * tile_width];
        alignas(cache_line) static constexpr T zeros[MicroPanels<T>::width] = {};
        const T* a[MicroPanels<T>::max_rows];
        for (Index r = 0; r < rows; ++r) a[r] = p.a[first + r] + k;
        const Index max_panels = MicroPanels<T>::panels_at_once(rows, false), stride = p.depth * line;
        const bool prefetches = MicroPanels<T>::worth_prefetching(rows, (p.block_end - p.block_begin) * stride);
        for (Index block = p.block_begin; block < p.block_end;) {
            const Index panels = p.block_end - block < max_panels ? p.block_end - block : max_panels;
            const T* panel = p.b + block * stride + k * line;
            const T* prefetched = prefetches ? panel + panels * stride : nullptr;
            const typename MicroPanels<T>::Product products[] = {{a, panel, depth, stride, prefetched}};
            const Index lanes = p.columns - block * line < panels * line ? p.columns - block * line : panels * line;
            MicroPanels<T>::multiply(rows, {panels, MicroPanels<T>::is_edge(lanes)}, products,
                                     {{p.start ? p.start + block * line : zeros, 0}, {buffer, tile_width}});
            put(p, first, rows, block * line, ceil_div(lanes, V::width), buffer,
                p.by_chains && (k > 0 || p.add_to_out));
            block += panels;
        }
    }

    // The sums replace what out holds, or are added to it.
    static void put(const LinearArgs<T>& p, Index first, Index rows, Index column, Index vectors, T* buffer,
                    bool adds) {
        if (adds)
            for_each_vector(p, first, rows, column, vectors, buffer, [](const T* sum, T* out, Index n) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(out, n) + V::load(sum), out, n);
            });
        else
            for_each_vector(p, first, rows, column, vectors, buffer,
                            [](const T* sum, T* out, Index n) FUSEDRNN_LAMBDA { store_lanes(V::load(sum), out, n); });
    }

    // visit(sum, out, lanes) for each vector of a tile.
    template <class Visit>
    FUSEDRNN_INLINE static void for_each_vector(const LinearArgs<T>& p, Index first, Index rows, Index column,
                                                Index vectors, T* buffer, Visit visit) {
        for (Index r = 0; r < rows; ++r)
            for (Index j = 0; j < vectors; ++j)
                visit(buffer + r * tile_width + j * V::width, p.out[first + r] + column + j * V::width,
                      p.columns - column - j * V::width);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
