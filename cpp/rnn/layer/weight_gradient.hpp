// Weight gradients from the gate gradients, step block by step block.
#pragma once

#include <algorithm>
#include <vector>

#include "rnn/layer/direction_backward.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// The row-steps whose weight gradients are taken once a step block's gate gradients are known: up to those that the
// step blocks after it took, and only whole reduction blocks. What the block at a step block's beginning lacks comes
// with the next step block or, in a segment of a longer sequence, with the segment before. Rows [0, total) are the
// segment's, the pending ones follow.
template <class T>
struct ReadyRows {
    Index begin, end;

    ReadyRows(const LayerBackward<T>& call, const StepBlocks& step_blocks, Index step_block)
        : begin(from(call, step_blocks.steps(step_block).begin)),
          end(step_block > 0 ? from(call, step_blocks.steps(step_block - 1).begin) : all(call)) {}

    Index count() const { return end - begin; }

private:
    static Index all(const LayerBackward<T>& call) {
        return call.schedule.total() + (call.pending ? call.pending->count : 0);
    }
    // Where the first block begins that has no row before `step`.
    static Index from(const LayerBackward<T>& call, Index step) {
        const Index before = call.rows_before + call.schedule.packed(step, 0);
        return std::min(all(call), ceil_div(before, reduction_block) * reduction_block - call.rows_before);
    }
};

// Weight gradients of a step block, the rows (gates x units) shared out between the threads.
template <class T>
class WeightGradient {
public:
    WeightGradient(const DirectionBackward<T>& d, Index step_block, const Team& team, ThreadScratch<T>& scratch)
        : d_(d), team_(team), scratch_(scratch), ready_(d.call, d.step_blocks, step_block), pending_(d.call.pending) {}

    void run() {
        if (ready_.count() == 0) return;
        const LayerGradients<T>& out = d_.call.gradients[d_.direction];
        gather(scratch_.right_rows[0], pending_ ? pending_->x.data() : nullptr, d_.call.input_size,
               [&](Index s, Index row) { return d_.call.x.at(d_.time(s, row), d_.batch_index(row)); });
        gather(scratch_.right_rows[1], pending_ ? pending_->h_prev.data() : nullptr, d_.recurrent,
               [&](Index s, Index row) { return d_.h_before(s, row); });
        gather(scratch_.left_rows, pending_ ? pending_->dgates.data() : nullptr, d_.dgates_width,
               [&](Index s, Index row) { return d_.dgates_at(s, row); });
        const OuterB<T> both[] = {{scratch_.right_rows[0].data(), d_.call.input_size},
                                  {scratch_.right_rows[1].data(), d_.recurrent}};
        outer(parts(out), both, 2);
        if (!out.w_hr) return;
        gather(scratch_.right_rows[0], pending_ ? pending_->unprojected.data() : nullptr, d_.hidden,
               [&](Index s, Index row) { return d_.unprojected_at(s, row); });
        gather(scratch_.left_rows, pending_ ? pending_->dh_proj.data() : nullptr, d_.spec.proj_size,
               [&](Index s, Index row) { return d_.dh_proj_at(s, row); });
        const OuterB<T> unprojected = {scratch_.right_rows[0].data(), d_.hidden};
        outer({{0, d_.spec.proj_size, {out.w_hr, nullptr}, {}}}, &unprojected, 1);
    }

private:
    template <class RowOf>
    void gather(std::vector<const T*>& rows, const T* pending, Index width, RowOf row_of) {
        rows.clear();
        const Index total = d_.schedule.total();
        d_.schedule.for_each(ready_.begin, std::min(ready_.end, total),
                             [&](Index s, Index row) { rows.push_back(row_of(s, row)); });
        for (Index i = std::max(ready_.begin, total); i < ready_.end; ++i)
            rows.push_back(pending + (i - total) * width);
    }

    // Gate gradients in the longest runs that are neighbours in every parameter that sees them.
    std::vector<OuterPartOfA<T>> parts(const LayerGradients<T>& out) const {
        const GradientRuns input = gradient_runs(d_.spec.cell, false), recurrent = gradient_runs(d_.spec.cell, true);
        std::vector<OuterPartOfA<T>> parts;
        for (int dgate = 0; dgate < d_.spec.traits().gate_gradients; ++dgate) {
            if (dgate > 0 && input.goes_on_at(dgate) && recurrent.goes_on_at(dgate)) {
                parts.back().count += d_.hidden;
                continue;
            }
            parts.push_back({dgate * d_.hidden, d_.hidden, {}, {}});
            enters(parts.back(), 0, input.gate_of(dgate), out.w_ih, d_.call.input_size, out.b_ih);
            enters(parts.back(), 1, recurrent.gate_of(dgate), out.w_hh, d_.recurrent, out.b_hh);
        }
        return parts;
    }

    void enters(OuterPartOfA<T>& part, int right, int gate, T* w, Index columns, T* b) const {
        if (gate < 0) return;
        const Index row = gate * d_.hidden;
        part.out[right] = w + row * columns;
        part.sums[right] = b ? b + row : nullptr;
    }

    // Each thread takes its share of every part.
    void outer(std::vector<OuterPartOfA<T>> left, const OuterB<T>* right, int right_count) {
        for (OuterPartOfA<T>& part : left) {
            const Part share = part_of(part.count, team_.index, team_.size);
            part.first += share.begin;
            part.count = share.end - share.begin;
            for (int i = 0; i < right_count; ++i) {
                if (part.out[i]) part.out[i] += share.begin * right[i].columns;
                if (part.sums[i]) part.sums[i] += share.begin;
            }
        }
        OuterArgs<T> args = {};
        args.rows = ready_.count();
        args.a = scratch_.left_rows.data();
        args.a_parts = left.data();
        args.a_part_count = static_cast<int>(left.size());
        args.b = right;
        args.b_count = right_count;
        args.scratch = scratch_.sums.reserve(outer_scratch(right, right_count));
        d_.kernels.outer(args);
    }

    const DirectionBackward<T>& d_;
    const Team& team_;
    ThreadScratch<T>& scratch_;
    const ReadyRows<T> ready_;
    const PendingRows<T>* const pending_;
};

// Keeps the rows whose block goes on in the segment before: the first ones of this segment and, when it is shorter than
// what its block lacks, the rows that were pending already.
template <class T>
void keep_pending(const DirectionBackward<T>& d) {
    PendingRows<T>* pending = d.call.pending;
    if (!pending) return;
    PendingRows<T> kept;
    kept.count = ReadyRows<T>(d.call, d.step_blocks, d.step_blocks.count() - 1).begin;
    const auto keep = [&](Buffer<T>& to, const Buffer<T>& old, Index width, auto row_of) {
        T* at = to.reserve(reduction_block * width);
        const Index own = std::min(kept.count, d.schedule.total());
        d.schedule.for_each(0, own, [&](Index s, Index row) { at = std::copy_n(row_of(s, row), width, at); });
        std::copy_n(old.data(), (kept.count - own) * width, at);
    };
    keep(kept.dgates, pending->dgates, d.dgates_width, [&](Index s, Index row) { return d.dgates_at(s, row); });
    keep(kept.x, pending->x, d.call.input_size,
         [&](Index s, Index row) { return d.call.x.at(d.time(s, row), d.batch_index(row)); });
    keep(kept.h_prev, pending->h_prev, d.recurrent, [&](Index s, Index row) { return d.h_before(s, row); });
    if (d.dh_proj) {
        keep(kept.unprojected, pending->unprojected, d.hidden,
             [&](Index s, Index row) { return d.unprojected_at(s, row); });
        keep(kept.dh_proj, pending->dh_proj, d.spec.proj_size,
             [&](Index s, Index row) { return d.dh_proj_at(s, row); });
    }
    *pending = std::move(kept);
}

}  // namespace fusedrnn
