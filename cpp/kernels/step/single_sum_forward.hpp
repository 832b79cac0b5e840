// A forward step of cells with one sum per unit: the simple RNN.
//
// Its weights are packed matrices, not packed gates. A tile over packed gates takes the gates of one unit block, so
// with one gate and a vector as long as a cache line it would have a single column of sums, and wait for loads. These
// tiles take the sums of up to four unit blocks, and of eight for one row.
#pragma once

#include "gemm/linear.hpp"
#include "gemm/overlap.hpp"
#include "step/separate_forward.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T, template <class> class CellOf>
struct SingleSumForward {
    using Cell = CellOf<T>;
    using V = Vec<T>;
    static_assert(Cell::gates == 1 && Cell::accumulators == 1);

    // NV vectors of units from `column` on, for MR rows.
    template <int MR, int NV>
    static void tile(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index column) {
        const Index block = column / unit_block<T>, within = column % unit_block<T>;
        V sum[MR][NV];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
            const T* start = (p.input_projected ? row[r].x : p.bias) + column;
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j) sum[r][j] = V::load(start + j * V::width);
        }
        Rows<T> a;
        if (!p.input_projected) {
            const PackedColumns<T> w(p.w_ih, p.input_size, p.hidden_size, block);
            for (int r = 0; r < MR; ++r) a.pointer[r] = row[r].x;
            accumulate<V, MR, NV>(sum, a, w.first + within, p.input_size, w.k_stride, ColumnOffset<T>{w.group_stride},
                                  SameAccumulator{});
        }
        const Index recurrent = p.recurrent_size();
        const PackedColumns<T> w(p.w_hh, recurrent, p.hidden_size, block);
        const ColumnOffset<T> offset{w.group_stride};
        for (int r = 0; r < MR; ++r) a.pointer[r] = row[r].h_prev;
        bool overlaps = false;
        if constexpr (MR == 1 && interleaved<T>)
            if ((overlaps = p.overlapped))
                overlapped_tiles(p).template accumulate_overlapped<NV>(sum, row[0].h_prev, w.first, recurrent,
                                                                       w.k_stride, offset, SameAccumulator{});
        if (!overlaps)
            accumulate<V, MR, NV>(sum, a, w.first + within, recurrent, w.k_stride, offset, SameAccumulator{});

        alignas(cache_line) T buffer[MR * NV * V::width];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j) sum[r][j].store(buffer + (r * NV + j) * V::width);
        finish(p, row, MR, NV, column, buffer, NV * V::width);
    }

    static void finish(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index vectors, Index column,
                       const T* accumulators, Index stride) {
        Cell::with_activation(p.nonlinearity, [&](auto activation) FUSEDRNN_LAMBDA {
            for (Index r = 0; r < rows; ++r)
#pragma GCC unroll 1
                for (Index j = 0; j < vectors; ++j)
                    Cell::emit_output(activation, V::load(accumulators + r * stride + j * V::width), row[r],
                                      column + j * V::width, p.hidden_size - column - j * V::width);
        });
    }

    // One step of all rows.
    static void step(const ForwardSpan<T>& p, bool descending) {
        if constexpr (!interleaved<T>)
            if (p.rows > 1) return Separate::step(p, descending, finish_block);
        for_each_column_tile<T>(p.w_hh, p.recurrent_size(), p.hidden_size, p.block_begin, p.block_end, p.rows == 1,
                                descending, [&](Index column, Index vectors, const PackedColumns<T>&) FUSEDRNN_LAMBDA {
                                    any_rows(p, column, vectors);
                                });
    }

    static void any_rows(const ForwardSpan<T>& p, Index column, Index vectors) {
        for_each_row_tile(p.rows, Blocking<T>::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
            with_constant<interleaved<T> ? Blocking<T>::max_rows : 1>(rows, [&](auto r) FUSEDRNN_LAMBDA {
                with_constant<Blocking<T>::template vectors_of_rows<r.value>>(
                    vectors, [&](auto n) FUSEDRNN_LAMBDA { tile<r.value, n.value>(p, p.row + first, column); });
            });
        });
    }

    using Overlapped = OverlappedTiles<T, InputProducts<T, UnitColumns<T>, Cell::accumulators>>;
    FUSEDRNN_INLINE static Overlapped overlapped_tiles(const ForwardSpan<T>& p) {
        return Overlapped({p}, *p.overlapped);
    }

    using Separate = SeparateForward<T, Cell>;

    static void finish_block(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index block,
                             T* accumulators) {
        const Index column = block * unit_block<T>, lanes = p.hidden_size - column;
        finish(p, row, rows, ceil_div(lanes < unit_block<T> ? lanes : unit_block<T>, V::width), column, accumulators,
               unit_block<T>);
    }

    static void project(const ProjectArgs<T>& p) {
        if constexpr (!interleaved<T>)
            if (p.rows > 1) return Separate::project(p);
        // The output rows are padded to whole blocks, so all columns count as true ones.
        for (Index first = 0; first < p.rows; first += reduction_block) {
            T* out[reduction_block];
            const Index rows = p.rows - first < reduction_block ? p.rows - first : reduction_block;
            for (Index r = 0; r < rows; ++r) out[r] = p.out + (first + r) * p.out_stride;
            Linear<T>::run({.rows = rows,
                            .a = p.x + first,
                            .out = out,
                            .depth = p.input_size,
                            .columns = p.hidden_size,
                            .b = p.w_ih,
                            .start = p.bias,
                            .by_chains = false,
                            .add_to_out = false,
                            .block_begin = p.block_begin,
                            .block_end = p.block_end});
        }
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
