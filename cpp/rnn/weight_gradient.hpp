// Weight gradients from the gate gradients of all row-steps, in one go or piece by piece.
#pragma once

#include <algorithm>
#include <vector>

#include "rnn/direction_backward.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// Which of the row-steps at hand have their weight gradients taken now: all, but in a piece of a longer sequence only
// those whose reduction block is complete. Rows [0, total) are the piece's, the pending ones follow them.
template <class T>
struct ReadyRows {
    Index total, first, count;

    explicit ReadyRows(const LayerBackward<T>& call) {
        total = call.schedule.total();
        const Index all = total + (call.pending ? call.pending->count : 0);
        const Index into_block = call.rows_before % reduction_block;
        first = std::min(all, into_block ? reduction_block - into_block : 0);
        count = all - first;
    }
};

// Weight gradients, the rows (gates x units) shared out between the threads.
template <class T>
class WeightGradient {
public:
    WeightGradient(const DirectionBackward<T>& d, const Team& team, ThreadScratch<T>& scratch)
        : d_(d), team_(team), scratch_(scratch), ready_(d.call), pending_(d.call.pending) {}

    void run() {
        if (ready_.count == 0) return;
        const LayerGradients<T>& out = d_.call.gradients[d_.direction];
        gather(scratch_.left, pending_ ? pending_->x.data() : nullptr, d_.call.input_size,
               [&](Index s, Index row) { return d_.call.x.at(d_.time(s, row), d_.batch(row)); });
        gather(scratch_.left_too, pending_ ? pending_->h_prev.data() : nullptr, d_.recurrent,
               [&](Index s, Index row) { return d_.h_before(s, row); });
        const OuterTarget<T> input = {ready(scratch_.left), d_.call.input_size, out.w_ih};
        const OuterTarget<T> recurrent = {ready(scratch_.left_too), d_.recurrent, out.w_hh};
        if (d_.spec.traits().recurrent_offset == 0) {  // both weights see the same gradients
            const OuterTarget<T> both[] = {input, recurrent};
            outer(d_.gates, d_.gates_width, d_.gates_width, both, 2, out.b_ih, out.b_hh);
        } else {
            by_runs(false, input, out.b_ih);
            by_runs(true, recurrent, out.b_hh);
        }
        if (!out.w_hr) return;
        gather(scratch_.left, pending_ ? pending_->units.data() : nullptr, d_.hidden,
               [&](Index s, Index row) -> const T* {
                   return d_.tape.units.data() + d_.schedule.packed(s, row) * d_.hidden;
               });
        const OuterTarget<T> projection = {ready(scratch_.left), d_.hidden, out.w_hr};
        outer(d_.dh_proj, d_.spec.proj_size, d_.spec.proj_size, &projection, 1);
    }

private:
    Part part(Index count) const { return part_of(count, team_.index, team_.size); }
    const T* const* ready(const std::vector<const T*>& rows) const { return rows.data() + ready_.first; }

    template <class RowOf>
    void gather(std::vector<const T*>& rows, const T* pending, Index width, RowOf row_of) {
        rows.clear();
        for (Index s = 0; s < d_.schedule.steps(); ++s)
            for (Index row = 0; row < d_.schedule.active(s); ++row) rows.push_back(row_of(s, row));
        for (Index i = 0; pending && i < pending_->count; ++i) rows.push_back(pending + i * width);
    }

    // Where the gate gradients stand in another order than the rows of the parameter.
    void by_runs(bool recurrent, const OuterTarget<T>& target, T* bias) {
        const GradientRuns runs = gradient_runs(d_.spec.cell, recurrent);
        for (int r = 0; r < runs.count; ++r) {
            const T* gates = d_.gates + runs.run[r].slot * d_.hidden;
            const Index row = runs.run[r].gate * d_.hidden, count = runs.run[r].count * d_.hidden;
            const OuterTarget<T> rows = {target.b, target.columns, target.out + row * target.columns};
            outer(gates, d_.gates_width, count, &rows, 1, bias ? bias + row : nullptr);
        }
    }

    void outer(const T* a, Index a_stride, Index count, const OuterTarget<T>* targets, int target_count,
               T* sums = nullptr, T* sums_too = nullptr) {
        OuterArgs<T> args = {};
        args.rows = ready_.count;
        args.a = a + ready_.first * a_stride;
        args.a_stride = a_stride;
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

// The pending rows' gradients stand behind the piece's own, as if it had been longer.
template <class T>
void append_pending(const DirectionBackward<T>& d) {
    const PendingRows<T>* pending = d.call.pending;
    if (!pending) return;
    const Index total = d.schedule.total();
    std::copy_n(pending->gates.data(), pending->count * d.gates_width, d.gates + total * d.gates_width);
    if (d.dh_proj)
        std::copy_n(pending->dh_proj.data(), pending->count * d.spec.proj_size, d.dh_proj + total * d.spec.proj_size);
}

// Keeps the rows whose block goes on in the piece before: the first ones of this piece and, when it is shorter than what
// its block lacks, the rows that were pending already.
template <class T>
void keep_pending(const DirectionBackward<T>& d) {
    PendingRows<T>* pending = d.call.pending;
    if (!pending) return;
    const ReadyRows<T> ready(d.call);
    PendingRows<T> kept;
    kept.count = ready.first;
    const auto keep = [&](Buffer<T>& to, const Buffer<T>& old, Index width, auto row_of) {
        T* at = to.reserve(reduction_block * width);
        Index left = kept.count;
        for (Index s = 0; s < d.schedule.steps() && left > 0; ++s)
            for (Index row = 0; row < d.schedule.active(s) && left > 0; ++row, --left)
                at = std::copy_n(row_of(s, row), width, at);
        std::copy_n(old.data(), left * width, at);
    };
    keep(kept.gates, pending->gates, d.gates_width, [&](Index s, Index row) { return d.gates_at(s, row); });
    keep(kept.x, pending->x, d.call.input_size,
         [&](Index s, Index row) { return d.call.x.at(d.time(s, row), d.batch(row)); });
    keep(kept.h_prev, pending->h_prev, d.recurrent, [&](Index s, Index row) { return d.h_before(s, row); });
    if (d.dh_proj) {
        keep(kept.units, pending->units, d.hidden,
             [&](Index s, Index row) { return d.tape.units.data() + d.schedule.packed(s, row) * d.hidden; });
        keep(kept.dh_proj, pending->dh_proj, d.spec.proj_size,
             [&](Index s, Index row) { return d.dh_proj + d.schedule.packed(s, row) * d.spec.proj_size; });
    }
    *pending = std::move(kept);
}

}  // namespace fusedrnn
