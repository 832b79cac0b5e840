// Backward through a span of time steps: per step one product brings the gradient of h_{t-1}, and the cell's pointwise
// gradient follows while the tile is in the L1 cache.
#pragma once

#include "gemm/linear.hpp"
#include "gemm/overlap.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T, Index N>
struct Repeated {
    T value[N];
};
template <Index N, class T>
constexpr Repeated<T, N> repeated(T value) {
    Repeated<T, N> all = {};
    for (T& each : all.value) each = value;
    return all;
}

template <class T, template <class> class CellOf>
struct Backward {
    using Cell = CellOf<T>;
    using V = Vec<T>;
    static constexpr CellTraits traits = cell_traits(Cell::kind);
    static constexpr Index tile_width = Linear<T>::tile_width;
    static constexpr Index recurrent_dgates = traits.gate_gradients - traits.recurrent_offset;

    // The rows' products with the columns of blocks [block_begin, block_end) of a packed matrix, handed to
    // finish(row, column, vectors, sums) tile by tile; a_of(row) is what a row is multiplied with. depth 0: all sums
    // are zero. A sum of more than gradient_chain terms is made of partial sums, added in order.
    template <class AOf, class Finish>
    FUSEDRNN_INLINE static void product(const BackwardSpan<T>& p, const T* packed, Index packed_depth, Index depth,
                                        Index columns, Index block_begin, Index block_end, bool descending, AOf a_of,
                                        Finish finish) {
        if constexpr (!interleaved<T>)
            if (p.rows > 1)
                return separate_product(p, packed, packed_depth, depth, columns, block_begin, block_end, descending,
                                        a_of, finish);
        const bool prefetches = worth_prefetching_for_cell(p, depth);
        for_each_column_tile<T>(
            packed, packed_depth, columns, block_begin, block_end, p.rows == 1, descending,
            [&](Index column, Index vectors, PackedColumns<T> b) FUSEDRNN_LAMBDA {
                for_each_k_block(depth, gradient_chain, [&](Index k, Index terms) FUSEDRNN_LAMBDA {
                    const bool last = k + terms >= depth;
                    for_each_row_tile(p.rows, Blocking<T>::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                        alignas(cache_line) T buffer[Blocking<T>::max_rows * tile_width];
                        Rows<T> a = {};
                        for (Index r = 0; r < rows; ++r) a.pointer[r] = a_of(p.row[first + r]) + k;
                        T* sums = p.scratch + first * tile_width;
                        if (prefetches && k == 0)
                            multiply_and_prefetch(rows, vectors, a, b, terms, sums, [&](Index i) FUSEDRNN_LAMBDA {
                                prefetch_for_cell(p, p.row[first + i / vectors], column + i % vectors * V::width);
                            });
                        else
                            multiply(p, rows, vectors, a, b, terms, k ? buffer : sums);
                        if (k) add_tile(buffer, rows, vectors, sums);
                        if (last)
                            for (Index r = 0; r < rows; ++r)
                                finish(p.row[first + r], column, vectors, sums + r * tile_width);
                    });
                    b.first += terms * b.k_stride;
                });
            });
    }

    FUSEDRNN_INLINE static void multiply(const BackwardSpan<T>& p, Index rows, Index vectors, const Rows<T>& a,
                                         const PackedColumns<T>& b, Index depth, T* out) {
        if constexpr (interleaved<T>)
            if (p.overlapped)
                return with_constant<Blocking<T>::single_row_vectors>(vectors, [&](auto n) FUSEDRNN_LAMBDA {
                    multiply_overlapped<n.value>(p, a.pointer[0], b, depth, out);
                });
        LinearTile<T>::choose(rows, vectors)(a, b.first, depth, b.k_stride, b.group_stride, nullptr, 0, out,
                                             tile_width);
    }

    // True if prefetching the lines that the cell will read and write pays. Those of many rows are more streams than
    // the hardware prefetcher follows. If a step has few of them, or the product is soon done, prefetching costs more
    // than it saves.
    FUSEDRNN_INLINE static bool worth_prefetching_for_cell(const BackwardSpan<T>& p, Index depth) {
        return p.rows >= tuning::cell_prefetch_rows && depth >= tuning::cell_prefetch_depth &&
               p.rows * p.hidden_size * static_cast<Index>(sizeof(T)) >= tuning::cell_prefetch_bytes;
    }

    // A tile's sums. prefetch(i) is called for each vector of each row, a part of them before each k-block of the
    // product.
    template <class Prefetch>
    FUSEDRNN_INLINE static void multiply_and_prefetch(Index rows, Index vectors, Rows<T> a, PackedColumns<T> b,
                                                      Index depth, T* out, Prefetch prefetch) {
        constexpr Index k_blocks = tuning::cell_prefetch_parts;
        const auto tile = LinearTile<T>::choose(rows, vectors);
        Index k = 0, prefetched = 0;
        for (Index k_block = 1; k_block <= k_blocks; ++k_block) {
            for (; prefetched < rows * vectors * k_block / k_blocks; ++prefetched) prefetch(prefetched);
            const Index now = depth * k_block / k_blocks - k;
            tile(a, b.first, now, b.k_stride, b.group_stride, k ? out : nullptr, tile_width, out, tile_width);
            for (Index r = 0; r < rows; ++r) a.pointer[r] += now;
            b.first += now * b.k_stride;
            k += now;
        }
    }

    template <int NV>
    static void multiply_overlapped(const BackwardSpan<T>& p, const T* a, const PackedColumns<T>& b, Index depth,
                                    T* out) {
        V sum[1][NV];
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) sum[0][j] = V::zero();
        overlapped_tiles(p).template accumulate_overlapped<NV>(sum, a, b.first, depth, b.k_stride,
                                                               ColumnOffset<T>{b.group_stride}, SameAccumulator{});
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) sum[0][j].store(out + j * V::width);
    }

    using Overlapped = OverlappedTiles<T, InputGradients<T>>;
    FUSEDRNN_INLINE static Overlapped overlapped_tiles(const BackwardSpan<T>& p) {
        return Overlapped({p.dx}, *p.overlapped);
    }

    // Prefetches the lines that the cell of a row will read and write, so that they are there when the product is done.
    // Inline: GCC takes a function that does nothing but prefetch for one that does nothing, and drops the calls.
    FUSEDRNN_INLINE static void prefetch_for_cell(const BackwardSpan<T>& p, const BackwardRow<T>& row, Index unit) {
        if (unit >= p.hidden_size) return;
        __builtin_prefetch(row.dy + unit);
        __builtin_prefetch(traits.has_cell_state ? row.c + p.stride.c + unit : row.h + p.stride.h + unit);
        for (int i = 0; i < traits.saved; ++i) __builtin_prefetch(row.saved + i * p.hidden_size + unit);
        for (int i = 0; i < traits.gate_gradients; ++i) __builtin_prefetch(row.dgates + i * p.hidden_size + unit, 1);
    }

    template <class AOf, class Finish>
    FUSEDRNN_INLINE static void separate_product(const BackwardSpan<T>& p, const T* packed, Index packed_depth,
                                                 Index depth, Index columns, Index block_begin, Index block_end,
                                                 bool descending, AOf a_of, Finish finish) {
        using M = MicroPanels<T>;
        const Index stride = packed_depth * M::line;
        const Index max_panels = M::panels_at_once(p.rows, false);
        const bool prefetches = M::worth_prefetching(p.rows, (block_end - block_begin) * stride);
        for_each_serpentine(ceil_div(block_end - block_begin, max_panels), descending, [&](Index i) FUSEDRNN_LAMBDA {
            const Index block = block_begin + i * max_panels;
            const Index panels = block_end - block < max_panels ? block_end - block : max_panels,
                        column = block * M::line;
            const Index lanes = columns - column < panels * M::line ? columns - column : panels * M::line;
            const typename M::Extent extent = {panels, M::is_edge(lanes)};
            for_each_row_tile(p.rows, M::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                alignas(cache_line) T sums[M::max_rows * tile_width], partial_sums[M::max_rows * tile_width];
                for_each_k_block(depth, gradient_chain, [&](Index k, Index terms) FUSEDRNN_LAMBDA {
                    const T* a[M::max_rows];
                    for (Index r = 0; r < rows; ++r) a[r] = a_of(p.row[first + r]) + k;
                    const T* panel = packed + block * stride + k * M::line;
                    const T* prefetched = prefetches ? panel + terms * M::line : nullptr;
                    if (k == 0)
                        M::multiply_from_zero(rows, extent, {{a, panel, terms, stride, prefetched}}, sums, tile_width,
                                              [&](Index from, Index count) FUSEDRNN_LAMBDA {
                                                  for (Index r = 0; r < count; ++r)
                                                      prefetch_for_cell(p, p.row[first + from + r], column);
                                              });
                    else
                        M::multiply_from_zero(rows, extent, {{a, panel, terms, stride, prefetched}}, partial_sums,
                                              tile_width);
                    if (k) add_tile(partial_sums, rows, ceil_div(lanes, V::width), sums);
                });
                for (Index r = 0; r < rows; ++r)
                    finish(p.row[first + r], column, ceil_div(lanes, V::width), sums + r * tile_width);
            });
        });
    }

    static void add_tile(const T* tile, Index rows, Index vectors, T* sums) {
        for (Index r = 0; r < rows; ++r)
            for (Index i = r * tile_width; i < r * tile_width + vectors * V::width; i += V::width)
                (V::load(sums + i) + V::load(tile + i)).store(sums + i);
    }

    // Adds the parts of dh_t that do not come from the step after through the product: the carry, and the output's
    // gradient. The order matters: a sequence that is cut in two, whose first part takes product + carry as its carry,
    // gives the same bits.
    FUSEDRNN_INLINE static V with_direct(V dh, const BackwardRow<T>& row, Index unit, Index lanes) {
        if (row.dh_carry) dh = dh + load_lanes<V>(row.dh_carry + unit, lanes);
        return dh + load_lanes<V>(row.dy + unit, lanes);
    }

    // A row's product, or minus zeros if no step after gives the row a gradient: zeros times weights would not do,
    // since weights may be infinite. Adding minus zero leaves every number as it is.
    FUSEDRNN_INLINE static const T* product_of(const BackwardSpan<T>& p, const BackwardRow<T>& row, const T* sums) {
        alignas(cache_line) static constexpr auto nothing = repeated<tile_width>(T(-0.0));
        return row.dgates_next == p.zeros ? nothing.value : sums;
    }

    template <bool Direct>
    FUSEDRNN_INLINE static void pointwise(const BackwardSpan<T>& p, const BackwardRow<T>& row, bool earliest,
                                          Index column, Index vectors, const T* sums) {
        const T* h_prev = earliest ? row.h_entering : row.h + p.stride.h;
        const T* c_prev = earliest ? row.c_entering : row.c + p.stride.c;
#pragma GCC unroll 1
        for (Index j = 0; j < vectors; ++j) {
            const Index unit = column + j * V::width, lanes = p.hidden_size - unit;
            V dh = V::load(sums + j * V::width);
            if constexpr (Direct) dh = with_direct(dh, row, unit, lanes);
            Cell::backward(dh, row, h_prev, c_prev, unit, lanes, p.hidden_size, p.nonlinearity);
        }
    }

    static void step(const BackwardSpan<T>& p, bool has_next, bool earliest, bool descending) {
        const Index recurrent = p.recurrent_size();
        const Index full = recurrent_dgates * p.hidden_size, depth = has_next ? full : 0;
        const auto dgates = [](const BackwardRow<T>& row) FUSEDRNN_LAMBDA { return row.dgates_next; };
        if (!p.w_hr) {  // (L13); for other cells the product of (R4) or (G10)
            product(p, p.w_hh, full, depth, recurrent, p.block_begin, p.block_end, descending, dgates,
                    [&](const BackwardRow<T>& row, Index column, Index vectors, const T* sums) FUSEDRNN_LAMBDA {
                        pointwise<true>(p, row, earliest, column, vectors, product_of(p, row, sums));
                    });
            return;
        }
        product(p, p.w_hh, full, depth, recurrent, p.proj_begin, p.proj_end, descending, dgates,
                [&](const BackwardRow<T>& row, Index column, Index vectors, const T* sums) FUSEDRNN_LAMBDA {
                    sums = product_of(p, row, sums);
                    for (Index j = 0; j < vectors; ++j) {
                        const Index unit = column + j * V::width, lanes = recurrent - unit;
                        store_lanes(with_direct(V::load(sums + j * V::width), row, unit, lanes), row.dh_proj + unit,
                                    lanes);
                    }
                });
        p.barrier.within_step();
        product(  // (L7)
            p, p.w_hr, p.proj_size, p.proj_size, p.hidden_size, p.block_begin, p.block_end, descending,
            [](const BackwardRow<T>& row) FUSEDRNN_LAMBDA { return static_cast<const T*>(row.dh_proj); },
            [&](const BackwardRow<T>& row, Index column, Index vectors, const T* sums)
                FUSEDRNN_LAMBDA { pointwise<false>(p, row, earliest, column, vectors, sums); });
    }

    static Index run(const BackwardSpan<T>& p) {
        bool goes_on = true;
        Index taken = 0;
        while (goes_on && taken < p.steps) {
            const Index t = taken++;
            step(p, t > 0 || !p.no_step_after, t + 1 == p.steps, t % 2 == 1);
            goes_on = p.barrier.after_step();
            for (Index r = 0; r < p.rows; ++r) {
                BackwardRow<T>& row = p.row[r];
                row.dgates_next = row.dgates + traits.recurrent_offset * p.hidden_size;
                if constexpr (!traits.carries_dh) row.dh_carry = nullptr;
                row.dy += p.stride.dy;
                row.saved += p.stride.saved;
                row.h += p.stride.h;
                row.c += p.stride.c;
                row.dgates += p.stride.dgates;
                row.dh_proj += p.stride.dh_proj;
            }
        }
        if constexpr (interleaved<T>)
            if (p.overlapped && (p.completes_overlapped || !goes_on)) overlapped_tiles(p).complete();
        return taken;
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
