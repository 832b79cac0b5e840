// A step's products for several rows of narrow vectors: slice by slice, a unit block's accumulators meeting in the L1
// cache.
#pragma once

#include "gemm/slices.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Cell: gates, and which accumulators they feed, as the cells state them.
template <class T, class Cell>
struct SlicedForward {
    using S = Slices<T>;
    static constexpr Index line = S::line;
    static constexpr Index row_size = Cell::accumulators * line;

    // finish(p, row, rows, block, accumulators) takes a block's accumulators: [row][accumulator][unit].
    template <class Finish>
    FUSEDRNN_INLINE static void step(const ForwardSpan<T>& p, bool down, Finish finish) {
        if constexpr (has_lone_gate())
            if (S::at_once(p.rows, false) == 2) return step_by<2>(p, down, finish);
        step_by<1>(p, down, finish);
    }

    // Several blocks at once are for few rows.
    template <Index Blocks, class Finish>
    FUSEDRNN_INLINE static void step_by(const ForwardSpan<T>& p, bool down, Finish finish) {
        in_turn(ceil_div(p.block_end - p.block_begin, Blocks), down, [&](Index i) FUSEDRNN_LAMBDA {
            const Index block = p.block_begin + i * Blocks;
            const Index left = p.block_end - block, blocks = Blocks == 1 || left > Blocks ? Blocks : left;
            for_each_row_tile(p.rows, S::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                alignas(cache_line) T accumulators[S::max_rows * row_size];
                products<Blocks>(p, p.row + first, rows, block, blocks, down, accumulators);
                for (Index b = 0; b < blocks; ++b)
                    finish(p, p.row + first, rows, block + b, accumulators + b * rows * row_size);
            });
        });
    }

    // What a block will be written to, and its share of the next step's input: by the time they are needed they are
    // there.
    FUSEDRNN_INLINE static void fetch(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows, Index block) {
        const Index unit = block * line, quota = ceil_div(p.input_size, line * (p.block_end - p.block_begin)) * line;
        const Index begin = (block - p.block_begin) * quota;
        const Index end = p.input_projected ? begin : begin + quota < p.input_size ? begin + quota : p.input_size;
        for (Index r = 0; r < rows; ++r) {
            __builtin_prefetch(row[r].unprojected + unit, 1);
            if (row[r].c) __builtin_prefetch(row[r].c + unit, 1);
            if (row[r].saved)
                for (int i = 0; i < Cell::saved; ++i) __builtin_prefetch(row[r].saved + i * p.hidden_size + unit, 1);
            for (Index i = begin; i < end; i += line) __builtin_prefetch(row[r].x + p.stride.x + i);
        }
    }

    // All accumulators of `blocks` unit blocks: [block][row][accumulator][unit].
    template <Index Blocks>
    [[gnu::noinline]] static void products(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows,
                                           Index first_block, Index blocks, bool down, T* accumulators) {
        if (Blocks == 1) blocks = 1;  // known when compiled
        const T *x[S::max_rows], *h[S::max_rows];
        for (Index r = 0; r < rows; ++r) {
            x[r] = row[r].x;
            h[r] = row[r].h_prev;
        }
        const Index recurrent = p.recurrent_size();
        const Index projected_stride = rows > 1 ? row[1].x - row[0].x : 0;
        const bool fetches = S::worth_fetching(rows, (p.block_end - p.block_begin) * Cell::gates * line *
                                                         (recurrent + (p.input_projected ? 0 : p.input_size)));
        for_each_group(rows, p.hidden_size, first_block, blocks, [&](Group at) FUSEDRNN_LAMBDA {
            const typename S::Extent extent = {at.slices, at.half};
            const Index input = Cell::input_accumulator(at.gate) * line,
                        own = Cell::recurrent_accumulator(at.gate) * line;
            const Index next = fetches ? at.next(down) : none;
            const auto from_x = [&]() FUSEDRNN_LAMBDA { return product(x, p.w_ih, p.input_size, at, next); };
            const auto from_h = [&]() FUSEDRNN_LAMBDA { return product(h, p.w_hh, recurrent, at, next); };
            const T* bias = p.bias + at.block * row_size;
            T* block_out = accumulators + (at.block - first_block) * rows * row_size;
            const Index bias_step = at.across ? row_size : line, out_step = at.across ? rows * row_size : line;
            const auto bias_of = [&](Index accumulator)
                                     FUSEDRNN_LAMBDA { return Start{bias + accumulator, 0, bias_step}; };
            const auto out = [&](Index accumulator)
                                 FUSEDRNN_LAMBDA { return Out{block_out + accumulator, row_size, out_step}; };
            const auto ahead = [&, at](Index first, Index count) FUSEDRNN_LAMBDA {
                if (at.gate == 0)
                    for (Index b = 0; b < (at.across ? at.slices : 1); ++b) fetch(p, row + first, count, at.block + b);
            };
            const T* projected = row[0].x + at.slice() * line;
            const Index step = at.step() * line;
            if (input == own) {
                if (p.input_projected)
                    return S::multiply(rows, extent, {from_h()}, {{projected, projected_stride, step}, out(own)},
                                       ahead);
                return S::multiply(rows, extent, {from_x(), from_h()}, {bias_of(own), out(own)}, ahead);
            }
            if (p.input_projected)
                for (Index s = 0; s < at.slices; ++s)
                    copy_lines(projected + s * step, projected_stride, rows, block_out + s * out_step + input);
            else
                S::multiply(rows, extent, {from_x()}, {bias_of(input), out(input)});
            S::multiply(rows, extent, {from_h()}, {bias_of(own), out(own)});
        });
    }

    static void project(const ProjectArgs<T>& p) {
        const bool fetches =
            S::worth_fetching(p.rows, (p.block_end - p.block_begin) * Cell::gates * line * p.input_size);
        for (Index block = p.block_begin; block < p.block_end; ++block)
            for_each_row_tile(p.rows, S::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                T* out = p.out + first * p.out_stride;
                for_each_group(rows, p.hidden_size, block, 1, [&](Group at) FUSEDRNN_LAMBDA {
                    const Index next = fetches ? at.next(false) : none;
                    S::multiply(
                        rows, {at.slices, at.half}, {product(p.x + first, p.w_ih, p.input_size, at, next)},
                        {{p.bias + block * row_size + at.gate * line, 0}, {out + at.slice() * line, p.out_stride}});
                });
            });
    }

private:
    using Start = typename S::template Lines<const T>;
    using Out = typename S::template Lines<T>;
    static constexpr Index none = -1;  // no slice

    // Slices that are multiplied with at a time: neighbouring gates of a block or, across blocks, the same gate.
    struct Group {
        Index block;
        int gate;
        Index slices;
        bool across;
        bool half;

        FUSEDRNN_INLINE Index slice() const { return block * Cell::gates + gate; }
        FUSEDRNN_INLINE Index step() const { return across ? Cell::gates : 1; }

        // The slice after a group of one block: the next block's or, on the way down, the one's before.
        FUSEDRNN_INLINE Index next(bool down) const {
            const bool back = down && gate + slices == Cell::gates;
            return back ? slice() + slices - 2 * Cell::gates : slice() + slices;
        }
    };

    // Whether the accumulators of this gate and the next are neighbours.
    static constexpr bool has_neighbour(int gate) {
        return gate + 1 < Cell::gates && Cell::recurrent_accumulator(gate + 1) == gate + 1;
    }

    static constexpr bool has_lone_gate() {
        int gate = 0;
        while (has_neighbour(gate)) gate += 2;
        return gate < Cell::gates;
    }

    // Calls visit(group) until all slices of the blocks are taken. Several blocks are for few rows, which take two
    // slices at once.
    template <class Visit>
    FUSEDRNN_INLINE static void for_each_group(Index rows, Index hidden_size, Index first, Index blocks, Visit visit) {
        const bool last_half = S::is_half(hidden_size - (first + blocks - 1) * line);
        const bool two = S::at_once(rows, last_half) == 2;
        for (int gate = 0; gate < Cell::gates;) {
            const int gates = two && has_neighbour(gate) ? 2 : 1;
            const bool across = gates == 1 && blocks > 1 && !last_half;
            for (Index b = 0; b < blocks; b += across ? blocks : 1)
                visit(Group{first + b, gate, across ? blocks : gates, across, last_half && b + 1 == blocks});
            gate += gates;
        }
    }

    // `next`: the slice to fetch meanwhile, if any.
    FUSEDRNN_INLINE static typename S::Product product(const T* const* rows, const T* panels, Index depth, Group at,
                                                       Index next) {
        const Index stride = depth * line;
        return {rows, panels + at.slice() * stride, depth, at.step() * stride,
                next < 0 ? nullptr : panels + next * stride};
    }

    static void copy_lines(const T* from, Index stride, Index rows, T* to) {
        for (Index r = 0; r < rows; ++r)
            for (Index i = 0; i < line; i += Vec<T>::width)
                Vec<T>::load(from + r * stride + i).store(to + r * row_size + i);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
