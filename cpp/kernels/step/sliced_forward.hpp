// A step's products for several rows of narrow vectors: slice by slice, the sums of a unit block meeting in the L1 cache.
#pragma once

#include "gemm/slices.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Cell: gates, sums and slots, as the cells state them.
template <class T, class Cell>
struct SlicedForward {
    using S = Slices<T>;
    static constexpr Index line = S::line;
    static constexpr Index row_sums = Cell::sums * line;

    // finish(p, row, rows, block, sums) takes a block's sums: [row][sum][unit].
    template <class Finish>
    FUSEDRNN_INLINE static void step(const ForwardSpan<T>& p, bool down, Finish finish) {
        in_turn(p.block_end - p.block_begin, down, [&](Index i) FUSEDRNN_LAMBDA {
            const Index block = p.block_begin + i;
            for_each_row_tile(p.rows, S::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                alignas(cache_line) T sums[S::max_rows * row_sums];
                products(p, p.row + first, rows, block, down, sums);
                finish(p, p.row + first, rows, block, sums);
            });
        });
    }

    // What a block will be written to, and its share of the next step's input: by the time they are needed they are there.
    FUSEDRNN_INLINE static void fetch(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index block) {
        const Index unit = block * line, share = ceil_div(p.input_size, line * (p.block_end - p.block_begin)) * line;
        const Index begin = (block - p.block_begin) * share;
        const Index end = p.input_projected ? begin : begin + share < p.input_size ? begin + share : p.input_size;
        for (Index r = 0; r < rows; ++r) {
            __builtin_prefetch(row[r].units + unit, 1);
            if (row[r].c) __builtin_prefetch(row[r].c + unit, 1);
            if (row[r].saved)
                for (int i = 0; i < Cell::saved; ++i) __builtin_prefetch(row[r].saved + i * p.hidden_size + unit, 1);
            for (Index i = begin; i < end; i += line) __builtin_prefetch(row[r].x + p.stride.x + i);
        }
    }

    // All sums of a unit block.
    static void products(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index block, bool down,
                         T* sums) {
        const T *x[S::max_rows], *h[S::max_rows];
        for (Index r = 0; r < rows; ++r) {
            x[r] = row[r].x;
            h[r] = row[r].h_prev;
        }
        const Index recurrent = p.proj_size ? p.proj_size : p.hidden_size;
        const T* bias = p.bias + block * row_sums;
        const Index projected_stride = rows > 1 ? row[1].x - row[0].x : 0;
        const bool half = S::is_half(p.hidden_size - block * line);
        const bool fetches = S::worth_fetching(rows, (p.block_end - p.block_begin) * Cell::gates * line *
                                                     (recurrent + (p.input_projected ? 0 : p.input_size)));
        for_each_gates(rows, half, [&](Index gate, Index now) FUSEDRNN_LAMBDA {
            const typename S::Part part = {now, half};
            const Index slice = block * Cell::gates + gate;
            const Index input = Cell::input_slot(static_cast<int>(gate)) * line;
            const Index own = Cell::recurrent_slot(static_cast<int>(gate)) * line;
            const bool back = down && gate + now == Cell::gates;
            const Index next = !fetches ? none : back ? slice + now - 2 * Cell::gates : slice + now;
            const auto from_x = product(x, p.w_ih, p.input_size, slice, next);
            const auto from_h = product(h, p.w_hh, recurrent, slice, next);
            const auto ahead = [&, gate](Index first, Index count) FUSEDRNN_LAMBDA {
                if (gate == 0) fetch(p, row + first, count, block);
            };
            if (p.input_projected) {
                const T* begin = row[0].x + slice * line;
                if (input != own) copy_lines(begin, projected_stride, rows, sums + input);
                if (input != own)
                    S::multiply(rows, part, {from_h}, {bias + own, 0, sums + own, row_sums});
                else
                    S::multiply(rows, part, {from_h}, {begin, projected_stride, sums + own, row_sums}, ahead);
            } else if (input == own) {
                S::multiply(rows, part, {from_x, from_h}, {bias + own, 0, sums + own, row_sums}, ahead);
            } else {
                S::multiply(rows, part, {from_x}, {bias + input, 0, sums + input, row_sums});
                S::multiply(rows, part, {from_h}, {bias + own, 0, sums + own, row_sums});
            }
        });
    }

    static void project(const ProjectArgs<T>& p) {
        const bool fetches = S::worth_fetching(p.rows, (p.block_end - p.block_begin) * Cell::gates * line * p.input_size);
        for (Index block = p.block_begin; block < p.block_end; ++block)
            for_each_row_tile(p.rows, S::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                T* out = p.out + first * p.out_stride;
                const bool half = S::is_half(p.hidden_size - block * line);
                for_each_gates(rows, half, [&](Index gate, Index now) FUSEDRNN_LAMBDA {
                    const Index slice = block * Cell::gates + gate, next = fetches ? slice + now : none;
                    S::multiply(rows, {now, half}, {product(p.x + first, p.w_ih, p.input_size, slice, next)},
                                {p.bias + block * row_sums + gate * line, 0, out + slice * line, p.out_stride});
                });
            });
    }

private:
    static constexpr Index none = -1;  // no slice

    // visit(gate, gates at once): neighbours whose sums are neighbours too.
    template <class Visit>
    FUSEDRNN_INLINE static void for_each_gates(Index rows, bool half, Visit visit) {
        const Index at_once = S::at_once(rows, half);
        for (Index gate = 0; gate < Cell::gates;) {
            const bool two = at_once == 2 && gate + 1 < Cell::gates &&
                             Cell::recurrent_slot(static_cast<int>(gate + 1)) == gate + 1;
            visit(gate, two ? 2 : 1);
            gate += two ? 2 : 1;
        }
    }

    // `next`: the slice to fetch meanwhile, if any.
    FUSEDRNN_INLINE static typename S::Product product(const T* const* rows, const T* panels, Index depth, Index slice,
                                                       Index next) {
        const Index stride = depth * line;
        return {rows, panels + slice * stride, depth, stride, next < 0 ? nullptr : panels + next * stride};
    }

    static void copy_lines(const T* from, Index stride, Index rows, T* to) {
        for (Index r = 0; r < rows; ++r)
            for (Index i = 0; i < line; i += Vec<T>::width)
                Vec<T>::load(from + r * stride + i).store(to + r * row_sums + i);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
