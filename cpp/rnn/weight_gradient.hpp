// Weight gradients from the gate gradients, window by window.
#pragma once

#include <algorithm>
#include <vector>

#include "rnn/direction_backward.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// The row-steps whose weight gradients are taken once a window's gate gradients are known: up to those that the windows
// after it took, and only whole reduction blocks. What the block at a window's beginning lacks comes with the next
// window or, in a piece of a longer sequence, with the piece before. Rows [0, total) are the piece's, those pending follow.
template <class T>
struct ReadyRows {
    Index begin, end;

    ReadyRows(const LayerBackward<T>& call, const Windows& windows, Index window)
        : begin(from(call, windows.steps(window).begin)),
          end(window > 0 ? from(call, windows.steps(window - 1).begin) : all(call)) {}

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

// Weight gradients of a window, the rows (gates x units) shared out between the threads.
template <class T>
class WeightGradient {
public:
    WeightGradient(const DirectionBackward<T>& d, Index window, const Team& team, ThreadScratch<T>& scratch)
        : d_(d), team_(team), scratch_(scratch), ready_(d.call, d.windows, window), pending_(d.call.pending) {}

    void run() {
        if (ready_.count() == 0) return;
        const LayerGradients<T>& out = d_.call.gradients[d_.direction];
        gather(scratch_.left, pending_ ? pending_->x.data() : nullptr, d_.call.input_size,
               [&](Index s, Index row) { return d_.call.x.at(d_.time(s, row), d_.batch(row)); });
        gather(scratch_.left_too, pending_ ? pending_->h_prev.data() : nullptr, d_.recurrent,
               [&](Index s, Index row) { return d_.h_before(s, row); });
        gather(scratch_.gates, pending_ ? pending_->gates.data() : nullptr, d_.gates_width,
               [&](Index s, Index row) { return d_.gates_at(s, row); });
        const OuterTarget<T> input = {scratch_.left.data(), d_.call.input_size, out.w_ih};
        const OuterTarget<T> recurrent = {scratch_.left_too.data(), d_.recurrent, out.w_hh};
        if (d_.spec.traits().recurrent_offset == 0) {  // both weights see the same gradients
            const OuterTarget<T> both[] = {input, recurrent};
            outer(0, d_.gates_width, both, 2, out.b_ih, out.b_hh);
        } else {
            by_runs(false, input, out.b_ih);
            by_runs(true, recurrent, out.b_hh);
        }
        if (!out.w_hr) return;
        gather(scratch_.left, pending_ ? pending_->units.data() : nullptr, d_.hidden,
               [&](Index s, Index row) { return d_.units_at(s, row); });
        gather(scratch_.gates, pending_ ? pending_->dh_proj.data() : nullptr, d_.spec.proj_size,
               [&](Index s, Index row) { return d_.dh_proj_at(s, row); });
        const OuterTarget<T> projection = {scratch_.left.data(), d_.hidden, out.w_hr};
        outer(0, d_.spec.proj_size, &projection, 1);
    }

private:
    Part part(Index count) const { return part_of(count, team_.index, team_.size); }

    template <class RowOf>
    void gather(std::vector<const T*>& rows, const T* pending, Index width, RowOf row_of) {
        rows.clear();
        const Index total = d_.schedule.total();
        d_.schedule.for_each(ready_.begin, std::min(ready_.end, total),
                             [&](Index s, Index row) { rows.push_back(row_of(s, row)); });
        for (Index i = std::max(ready_.begin, total); i < ready_.end; ++i) rows.push_back(pending + (i - total) * width);
    }

    // Where the gate gradients stand in another order than the rows of the parameter.
    void by_runs(bool recurrent, const OuterTarget<T>& target, T* bias) {
        const GradientRuns runs = gradient_runs(d_.spec.cell, recurrent);
        for (int r = 0; r < runs.count; ++r) {
            const Index row = runs.run[r].gate * d_.hidden, count = runs.run[r].count * d_.hidden;
            const OuterTarget<T> rows = {target.b, target.columns, target.out + row * target.columns};
            outer(runs.run[r].slot * d_.hidden, count, &rows, 1, bias ? bias + row : nullptr);
        }
    }

    // Columns [first, first + count) of the gathered gradients times the targets.
    void outer(Index first, Index count, const OuterTarget<T>* targets, int target_count, T* sums = nullptr,
               T* sums_too = nullptr) {
        OuterArgs<T> args = {};
        args.rows = ready_.count();
        args.a = scratch_.gates.data();
        args.a_first = first;
        args.m_begin = part(count).begin;
        args.m_end = part(count).end;
        args.targets = targets;
        args.target_count = target_count;
        args.sums[0] = sums;
        args.sums[1] = sums_too;
        args.scratch = scratch_.sums.reserve(outer_scratch(targets, target_count));
        d_.kernels.outer(args);
    }

    const DirectionBackward<T>& d_;
    const Team& team_;
    ThreadScratch<T>& scratch_;
    const ReadyRows<T> ready_;
    const PendingRows<T>* const pending_;
};

// Keeps the rows whose block goes on in the piece before: the first ones of this piece and, when it is shorter than what
// its block lacks, the rows that were pending already.
template <class T>
void keep_pending(const DirectionBackward<T>& d) {
    PendingRows<T>* pending = d.call.pending;
    if (!pending) return;
    PendingRows<T> kept;
    kept.count = ReadyRows<T>(d.call, d.windows, d.windows.count() - 1).begin;
    const auto keep = [&](Buffer<T>& to, const Buffer<T>& old, Index width, auto row_of) {
        T* at = to.reserve(reduction_block * width);
        const Index own = std::min(kept.count, d.schedule.total());
        d.schedule.for_each(0, own, [&](Index s, Index row) { at = std::copy_n(row_of(s, row), width, at); });
        std::copy_n(old.data(), (kept.count - own) * width, at);
    };
    keep(kept.gates, pending->gates, d.gates_width, [&](Index s, Index row) { return d.gates_at(s, row); });
    keep(kept.x, pending->x, d.call.input_size,
         [&](Index s, Index row) { return d.call.x.at(d.time(s, row), d.batch(row)); });
    keep(kept.h_prev, pending->h_prev, d.recurrent, [&](Index s, Index row) { return d.h_before(s, row); });
    if (d.dh_proj) {
        keep(kept.units, pending->units, d.hidden, [&](Index s, Index row) { return d.units_at(s, row); });
        keep(kept.dh_proj, pending->dh_proj, d.spec.proj_size, [&](Index s, Index row) { return d.dh_proj_at(s, row); });
    }
    *pending = std::move(kept);
}

}  // namespace fusedrnn
