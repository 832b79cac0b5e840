// A forward step of cells with several gates (LSTM, GRU). With interleaved micro-panels, or one row, all gates of a
// unit are in one tile and the cell is its epilogue; several rows with separate ones: separate_forward.hpp.
#pragma once

#include "gemm/gate_k_blocks.hpp"
#include "gemm/gate_tile.hpp"
#include "gemm/overlap.hpp"
#include "step/separate_forward.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T, template <class> class CellOf>
struct GatedForward {
    using Cell = CellOf<T>;
    using V = Vec<T>;

    template <int MR, int U>
    static void tile(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index v) {
        const UnitVector<T> at(v);
        V sum[MR][U * Cell::accumulators];
        start<MR, U>(p, row, at, sum);
        Rows<T> a = {};
        const Index recurrent = p.recurrent_size();
        if (!p.input_projected) {
            for (int r = 0; r < MR; ++r) a.pointer[r] = row[r].x;
            accumulate_gates<T, MR, U, Cell::gates, Cell::accumulators>(
                sum, a, p.w_ih, p.input_size, at, [](int g) FUSEDRNN_LAMBDA { return Cell::input_accumulator(g); });
        }
        if constexpr (MR == 1 && interleaved<T>)
            if (p.overlapped) return tile_overlapped<U>(p, row, at, recurrent, sum);
        for (int r = 0; r < MR; ++r) a.pointer[r] = row[r].h_prev;
        accumulate_gates<T, MR, U, Cell::gates, Cell::accumulators>(
            sum, a, p.w_hh, recurrent, at, [](int g) FUSEDRNN_LAMBDA { return Cell::recurrent_accumulator(g); });
        finish<MR, U>(p, row, v * V::width, sum);
    }

    template <int U>
    FUSEDRNN_INLINE static void tile_overlapped(const ForwardSpan<T>& p, const ForwardRow<T>* row, UnitVector<T> at,
                                                Index recurrent, V (&sum)[1][U * Cell::accumulators]) {
        constexpr Index k_stride = Cell::gates * unit_block<T>;
        const Index block_stride = recurrent * k_stride;
        overlapped_tiles(p).template accumulate_overlapped<U * Cell::gates>(
            sum, row->h_prev, p.w_hh + at.block * block_stride, recurrent, k_stride,
            GateOffset<T, Cell::gates>{block_stride, unit_block<T>}, [](int j) FUSEDRNN_LAMBDA {
                return j / Cell::gates * Cell::accumulators + Cell::recurrent_accumulator(j % Cell::gates);
            });
        finish<1, U>(p, row, at.block * unit_block<T>, sum);
    }

    template <int MR, int U>
    FUSEDRNN_INLINE static void start(const ForwardSpan<T>& p, const ForwardRow<T>* row, UnitVector<T> at,
                                      V (&sum)[MR][U * Cell::accumulators]) {
        constexpr Index bias_block = Cell::accumulators * unit_block<T>, input_block = Cell::gates * unit_block<T>;
        const T* bias = p.bias + at.block * bias_block + at.within;
        const Index input = at.block * input_block + at.within;
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
            for (int j = 0; j < U * Cell::accumulators; ++j) {
                const int accumulator = j % Cell::accumulators, u = j / Cell::accumulators;
                const Index within = accumulator * unit_block<T> + (u % vectors_per_block<T>)*V::width;
                if (p.input_projected && accumulator < Cell::gates)
                    sum[r][j] = V::load(row[r].x + input + (u / vectors_per_block<T>)*input_block + within);
                else
                    sum[r][j] = V::load(bias + (u / vectors_per_block<T>)*bias_block + within);
            }
    }

    template <int MR, int U>
    FUSEDRNN_INLINE static void finish(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index unit,
                                       V (&sum)[MR][U * Cell::accumulators]) {
        if constexpr (MR == 1) {
            V tanh_argument[U];
#pragma GCC unroll 2
            for (int u = 0; u < U; ++u)
                tanh_argument[u] = Cell::update_state(&sum[0][u * Cell::accumulators], row[0], unit + u * V::width,
                                                      p.hidden_size - unit - u * V::width, p.hidden_size);
#pragma GCC unroll 2
            for (int u = 0; u < U; ++u)
                Cell::emit_output(tanh_argument[u], sum[0][u * Cell::accumulators + Cell::output_accumulator], row[0],
                                  unit + u * V::width, p.hidden_size - unit - u * V::width, p.hidden_size);
        } else {
            static_assert(U == 1);
            alignas(cache_line) T buffer[MR * Cell::accumulators * V::width];
#pragma GCC unroll 8
            for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
                for (int j = 0; j < Cell::accumulators; ++j)
                    sum[r][j].store(buffer + (r * Cell::accumulators + j) * V::width);
            finish_rows<V::width>(p, row, MR, unit, buffer);
        }
    }

    // The cell over several rows. `accumulators`: [row][accumulator], `Stride` elements from one to the next.
    template <Index Stride>
    FUSEDRNN_INLINE static void finish_rows(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index unit,
                                            T* accumulators) {
        const Index lanes = p.hidden_size - unit;
#pragma GCC unroll 1
        for (Index r = 0; r < rows; ++r) {
            V own[Cell::accumulators];
            T* at = accumulators + r * Cell::accumulators * Stride;
#pragma GCC unroll 4
            for (int j = 0; j < Cell::accumulators; ++j) own[j] = V::load(at + j * Stride);
            Cell::update_state(own, row[r], unit, lanes, p.hidden_size).store(at);
        }
#pragma GCC unroll 1
        for (Index r = 0; r < rows; ++r) {
            const T* at = accumulators + r * Cell::accumulators * Stride;
            static_assert(Cell::output_accumulator != 0);  // the first one's place was taken by the tanh's argument
            Cell::emit_output(V::load(at), V::load(at + Cell::output_accumulator * Stride), row[r], unit, lanes,
                              p.hidden_size);
        }
    }

    // One step of all rows.
    static void step(const ForwardSpan<T>& p, bool descending) {
        if constexpr (!interleaved<T>) {
            if (p.rows > 1) return Separate::step(p, descending, finish_block);
        } else if (KBlocks::worth_it(p.rows, p.recurrent_size() + (p.input_projected ? 0 : p.input_size))) {
            return for_each_serpentine(p.block_end - p.block_begin, descending,
                                       [&](Index i) FUSEDRNN_LAMBDA { block_in_k_blocks(p, p.block_begin + i); });
        }
        for_each_gate_tile<T>(p.rows, p.hidden_size, p.block_begin, p.block_end, descending,
                              [&](auto size, Index first, Index v)
                                  FUSEDRNN_LAMBDA { tile<size.rows, size.vectors>(p, p.row + first, v); });
    }

    using Overlapped = OverlappedTiles<T, InputProducts<T, GateColumns<T, Cell::gates>, Cell::accumulators>>;
    FUSEDRNN_INLINE static Overlapped overlapped_tiles(const ForwardSpan<T>& p) {
        return Overlapped({p}, *p.overlapped);
    }

    using KBlocks = GateKBlocks<T, Cell::gates>;
    using Separate = SeparateForward<T, Cell>;

    // The cell for a unit block of several rows. `accumulators`: [row][accumulator][unit].
    static void finish_block(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index block,
                             T* accumulators) {
        for (Index within = 0; within < unit_block<T>; within += V::width)
            if (const Index unit = block * unit_block<T> + within; unit < p.hidden_size)
                finish_rows<unit_block<T>>(p, row, rows, unit, accumulators + within);
    }

    // One unit block of one step, its accumulators kept in memory between the products' k-blocks.
    static void block_in_k_blocks(const ForwardSpan<T>& p, Index block) {
        constexpr Index bias_block = Cell::accumulators * unit_block<T>, input_block = Cell::gates * unit_block<T>;
        alignas(cache_line) T accumulators[KBlocks::max_rows * bias_block];
        T* sum_rows[KBlocks::max_rows];
        const T* a[KBlocks::max_rows];
        for (Index first = 0; first < p.rows; first += KBlocks::max_rows) {
            const Index rows = p.rows - first < KBlocks::max_rows ? p.rows - first : KBlocks::max_rows;
            const ForwardRow<T>* row = p.row + first;
            for (Index r = 0; r < rows; ++r) {
                sum_rows[r] = accumulators + r * bias_block;
                copy_vectors(p.bias + block * bias_block, bias_block, sum_rows[r]);
                if (p.input_projected) copy_vectors(row[r].x + block * input_block, input_block, sum_rows[r]);
            }
            if (!p.input_projected) {
                for (Index r = 0; r < rows; ++r) a[r] = row[r].x;
                KBlocks::add(sum_rows, a, rows, p.w_ih, p.input_size, block,
                             [](int g) FUSEDRNN_LAMBDA { return Cell::input_accumulator(g); });
            }
            for (Index r = 0; r < rows; ++r) a[r] = row[r].h_prev;
            KBlocks::add(sum_rows, a, rows, p.w_hh, p.recurrent_size(), block,
                         [](int g) FUSEDRNN_LAMBDA { return Cell::recurrent_accumulator(g); });
            finish_block(p, row, rows, block, accumulators);
        }
    }

    FUSEDRNN_INLINE static void copy_vectors(const T* from, Index count, T* to) {
        for (Index i = 0; i < count; i += V::width) V::load(from + i).store(to + i);
    }

    template <int MR, int U>
    static void project_tile(const ProjectArgs<T>& p, Index first, Index v) {
        const UnitVector<T> at(v);
        constexpr Index out_block = Cell::gates * unit_block<T>;
        const T* bias = p.bias + at.block * Cell::accumulators * unit_block<T> + at.within;
        V sum[MR][U * Cell::gates];
        const GateOffset<T, Cell::gates> out_offset{out_block, unit_block<T>};
        const GateOffset<T, Cell::gates> bias_offset{Cell::accumulators * unit_block<T>, unit_block<T>};
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 16
            for (int j = 0; j < U * Cell::gates; ++j) sum[r][j] = V::load(bias + bias_offset(j));
        Rows<T> a = {};
        for (int r = 0; r < MR; ++r) a.pointer[r] = p.x[first + r];
        accumulate_gates<T, MR, U, Cell::gates, Cell::gates>(sum, a, p.w_ih, p.input_size, at, SameAccumulator{});
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
            T* out = p.out + (first + r) * p.out_stride + at.block * out_block + at.within;
#pragma GCC unroll 16
            for (int j = 0; j < U * Cell::gates; ++j) sum[r][j].store(out + out_offset(j));
        }
    }

    static void project(const ProjectArgs<T>& p) {
        if constexpr (!interleaved<T>) {
            if (p.rows > 1) return Separate::project(p);
        } else if (KBlocks::worth_it(p.rows, p.input_size)) {
            for (Index block = p.block_begin; block < p.block_end; ++block) project_in_k_blocks(p, block);
            return;
        }
        for_each_gate_tile<T>(p.rows, p.hidden_size, p.block_begin, p.block_end, false,
                              [&](auto size, Index first, Index v)
                                  FUSEDRNN_LAMBDA { project_tile<size.rows, size.vectors>(p, first, v); });
    }

    static void project_in_k_blocks(const ProjectArgs<T>& p, Index block) {
        constexpr Index out_block = Cell::gates * unit_block<T>;
        T* sum_rows[KBlocks::max_rows];
        for (Index first = 0; first < p.rows; first += KBlocks::max_rows) {
            const Index rows = p.rows - first < KBlocks::max_rows ? p.rows - first : KBlocks::max_rows;
            for (Index r = 0; r < rows; ++r) {
                sum_rows[r] = p.out + (first + r) * p.out_stride + block * out_block;
                copy_vectors(p.bias + block * Cell::accumulators * unit_block<T>, out_block, sum_rows[r]);
            }
            KBlocks::add(sum_rows, p.x + first, rows, p.w_ih, p.input_size, block, SameAccumulator{});
        }
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
