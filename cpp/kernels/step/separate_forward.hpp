// Forward products of several rows where micro-panels lie one after the other (vectors shorter than a cache line): one
// micro-panel after another, the accumulators of a unit block meeting in the L1 cache.
#pragma once

#include "gemm/micro_panels.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Cell: its gates, and which accumulators they feed.
template <class T, class Cell>
struct SeparateForward {
    using M = MicroPanels<T>;
    static constexpr Index line = M::line;
    static constexpr Index row_size = Cell::accumulators * line;

    // finish(p, row, rows, block, accumulators) takes a block's accumulators: [row][accumulator][unit].
    template <class Finish>
    FUSEDRNN_INLINE static void step(const ForwardSpan<T>& p, bool descending, Finish finish) {
        if constexpr (has_unpaired_accumulator())
            if (M::panels_at_once(p.rows, false) == 2) return step_by<2>(p, descending, finish);
        step_by<1>(p, descending, finish);
    }

    // Several blocks at once are for few rows.
    template <Index Blocks, class Finish>
    FUSEDRNN_INLINE static void step_by(const ForwardSpan<T>& p, bool descending, Finish finish) {
        for_each_serpentine(ceil_div(p.block_end - p.block_begin, Blocks), descending, [&](Index i) FUSEDRNN_LAMBDA {
            const Index block = p.block_begin + i * Blocks;
            const Index remaining = p.block_end - block,
                        blocks = Blocks == 1 || remaining > Blocks ? Blocks : remaining;
            for_each_row_tile(p.rows, M::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                alignas(cache_line) T accumulators[M::max_rows * row_size];
                products<Blocks>(p, p.row + first, rows, block, blocks, descending, accumulators);
                for (Index b = 0; b < blocks; ++b)
                    finish(p, p.row + first, rows, block + b, accumulators + b * rows * row_size);
            });
        });
    }

    // Prefetches the lines that the cell of a block will write, and the block's part of the next step's input.
    FUSEDRNN_INLINE static void prefetch_for_cell(const ForwardSpan<T>& p, const ForwardRow<T>* row, Index rows,
                                                  Index block) {
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
                                           Index first_block, Index blocks, bool descending, T* accumulators) {
        if (Blocks == 1) blocks = 1;  // known when compiled
        const T *x[M::max_rows], *h[M::max_rows];
        for (Index r = 0; r < rows; ++r) {
            x[r] = row[r].x;
            h[r] = row[r].h_prev;
        }
        const Index recurrent = p.recurrent_size();
        const Index projected_stride = rows > 1 ? row[1].x - row[0].x : 0;
        const bool prefetches = M::worth_prefetching(rows, (p.block_end - p.block_begin) * Cell::gates * line *
                                                               (recurrent + (p.input_projected ? 0 : p.input_size)));
        for_each_panel_set(rows, p.hidden_size, first_block, blocks, [&](PanelSet at) FUSEDRNN_LAMBDA {
            const typename M::Extent extent = {at.panels, at.edge};
            const Index input = Cell::input_accumulator(at.gate) * line,
                        own = Cell::recurrent_accumulator(at.gate) * line;
            const Index prefetched = prefetches ? at.next_panel(descending) : none;
            const auto from_x = [&]() FUSEDRNN_LAMBDA { return product(x, p.w_ih, p.input_size, at, prefetched); };
            const auto from_h = [&]() FUSEDRNN_LAMBDA { return product(h, p.w_hh, recurrent, at, prefetched); };
            const T* bias = p.bias + at.block * row_size;
            T* block_out = accumulators + (at.block - first_block) * rows * row_size;
            const Index bias_step = at.across_blocks ? row_size : line,
                        out_step = at.across_blocks ? rows * row_size : line;
            const auto bias_of = [&](Index accumulator)
                                     FUSEDRNN_LAMBDA { return Start{bias + accumulator, 0, bias_step}; };
            const auto out = [&](Index accumulator)
                                 FUSEDRNN_LAMBDA { return Out{block_out + accumulator, row_size, out_step}; };
            const auto prefetch = [&, at](Index first, Index count) FUSEDRNN_LAMBDA {
                if (at.gate == 0)
                    for (Index b = 0; b < (at.across_blocks ? at.panels : 1); ++b)
                        prefetch_for_cell(p, row + first, count, at.block + b);
            };
            const T* projected = row[0].x + at.first_panel() * line;
            const Index step = at.step() * line;
            if (input == own) {
                if (p.input_projected)
                    return M::multiply(rows, extent, {from_h()}, {{projected, projected_stride, step}, out(own)},
                                       prefetch);
                return M::multiply(rows, extent, {from_x(), from_h()}, {bias_of(own), out(own)}, prefetch);
            }
            if (p.input_projected)
                for (Index s = 0; s < at.panels; ++s)
                    copy_lines(projected + s * step, projected_stride, rows, block_out + s * out_step + input);
            else
                M::multiply(rows, extent, {from_x()}, {bias_of(input), out(input)});
            M::multiply(rows, extent, {from_h()}, {bias_of(own), out(own)});
        });
    }

    static void project(const ProjectArgs<T>& p) {
        const bool prefetches =
            M::worth_prefetching(p.rows, (p.block_end - p.block_begin) * Cell::gates * line * p.input_size);
        for (Index block = p.block_begin; block < p.block_end; ++block)
            for_each_row_tile(p.rows, M::max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                T* out = p.out + first * p.out_stride;
                for_each_panel_set(rows, p.hidden_size, block, 1, [&](PanelSet at) FUSEDRNN_LAMBDA {
                    const Index prefetched = prefetches ? at.next_panel(false) : none;
                    M::multiply(rows, {at.panels, at.edge},
                                {product(p.x + first, p.w_ih, p.input_size, at, prefetched)},
                                {{p.bias + block * row_size + at.gate * line, 0},
                                 {out + at.first_panel() * line, p.out_stride}});
                });
            });
    }

private:
    using Start = typename M::template Lines<const T>;
    using Out = typename M::template Lines<T>;
    static constexpr Index none = -1;  // no micro-panel

    // The micro-panels that are multiplied with at a time: those of neighbouring gates of a block or, across blocks, of
    // the same gate.
    struct PanelSet {
        Index block;
        int gate;
        Index panels;
        bool across_blocks;
        bool edge;

        FUSEDRNN_INLINE Index first_panel() const { return block * Cell::gates + gate; }
        FUSEDRNN_INLINE Index step() const { return across_blocks ? Cell::gates : 1; }

        // The micro-panel after a set of one block. It belongs to the next block after a block's last gate, or to the
        // one before on the way down.
        FUSEDRNN_INLINE Index next_panel(bool descending) const {
            const bool back = descending && gate + panels == Cell::gates;
            return back ? first_panel() + panels - 2 * Cell::gates : first_panel() + panels;
        }
    };

    // True if the accumulators of this gate and the next are neighbours: one tile can take both.
    static constexpr bool is_paired(int gate) {
        return gate + 1 < Cell::gates && Cell::recurrent_accumulator(gate + 1) == gate + 1;
    }

    static constexpr bool has_unpaired_accumulator() {
        int gate = 0;
        while (is_paired(gate)) gate += 2;
        return gate < Cell::gates;
    }

    // Calls visit(set) until all micro-panels of the blocks are taken. Several blocks are for few rows, which take two
    // micro-panels at once.
    template <class Visit>
    FUSEDRNN_INLINE static void for_each_panel_set(Index rows, Index hidden_size, Index first, Index blocks,
                                                   Visit visit) {
        const bool ends_in_edge = M::is_edge(hidden_size - (first + blocks - 1) * line);
        const bool two = M::panels_at_once(rows, ends_in_edge) == 2;
        for (int gate = 0; gate < Cell::gates;) {
            const int gates = two && is_paired(gate) ? 2 : 1;
            const bool across_blocks = gates == 1 && blocks > 1 && !ends_in_edge;
            for (Index b = 0; b < blocks; b += across_blocks ? blocks : 1)
                visit(PanelSet{first + b, gate, across_blocks ? blocks : gates, across_blocks,
                               ends_in_edge && b + 1 == blocks});
            gate += gates;
        }
    }

    // `prefetched`: the micro-panel to prefetch meanwhile, or none.
    FUSEDRNN_INLINE static typename M::Product product(const T* const* a, const T* packed, Index depth, PanelSet at,
                                                       Index prefetched) {
        const Index stride = depth * line;
        return {a, packed + at.first_panel() * stride, depth, at.step() * stride,
                prefetched < 0 ? nullptr : packed + prefetched * stride};
    }

    static void copy_lines(const T* from, Index stride, Index rows, T* to) {
        for (Index r = 0; r < rows; ++r)
            for (Index i = 0; i < line; i += Vec<T>::width)
                Vec<T>::load(from + r * stride + i).store(to + r * row_size + i);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
