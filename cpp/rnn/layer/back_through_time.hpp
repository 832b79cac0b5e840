// The walk back through the steps, which gives the gate gradients, and the gradient of the initial state.
#pragma once

#include <algorithm>
#include <vector>

#include "fusedrnn/interrupt.hpp"
#include "rnn/layer/direction_backward.hpp"
#include "rnn/plan/overlap.hpp"
#include "rnn/plan/split.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {

// The gradients that enter at the rows' last steps.
template <class T>
void load_carries(const DirectionBackward<T>& d) {
    const auto fill = [&](T* carry, const T* from, Index width) {
        if (!carry) return;
        for (Index row = 0; row < d.schedule.rows(); ++row) {
            const Index b = d.batch_index(row);
            copy_or_zero(from ? from + b * width : nullptr, width, carry + b * width);
        }
    };
    fill(d.dh_carry, d.call.dh_n[d.direction], d.recurrent);
    fill(d.dc_carry, d.call.dc_n[d.direction], d.hidden);
}

// dx: the gate gradients times W_ih, for rows that the caller names.
template <class T>
LinearArgs<T> input_gradient(const DirectionBackward<T>& d) {
    LinearArgs<T> args = {};
    args.depth = d.spec.traits().gates * d.hidden;
    args.columns = d.call.input_size;
    args.b = d.weights.w_ih_backward.data();
    args.by_chains = true;
    args.add_to_out = d.direction > 0;
    args.block_end = ceil_div(d.call.input_size, unit_block<T>);
    return args;
}

// How far a walk came back, and the steps behind it whose dx has not been taken: [begin, dx_end).
struct Walked {
    Index begin, dx_end;
};

// One thread's walk back through a step block: the gate gradients of its row-steps, and where products are overlapped
// dx of the last ones.
template <class T>
class BackThroughTime {
public:
    BackThroughTime(const DirectionBackward<T>& d, const ThreadShare& share, ThreadScratch<T>& scratch,
                    const Team& team)
        : d_(d), share_(share), scratch_(scratch), team_(team) {}

    // Ends before the step block's beginning where the team ends.
    Walked run(const std::vector<StepRange>& spans, StepRange step_block) {
        group_ = overlaps(step_block) ? last_group({step_block.begin, step_block.end}) : step_block;
        const auto begins_before = [](StepRange span, Index step) { return span.begin < step; };
        auto span = std::lower_bound(spans.begin(), spans.end(), step_block.end, begins_before);
        while (span != spans.begin() && (--span)->end > step_block.begin)
            for (Index end = std::min(span->end, step_block.end); end > std::max(span->begin, step_block.begin);) {
                if (end == group_.begin) next_group(step_block);
                const Index begin = std::max({span->begin, group_.begin, end - max_steps_at_once(end - 1)});
                check_interrupt();
                end -= this->span({begin, end});
                if (team_.ends()) return {end, group_.end};
            }
        return {step_block.begin, group_.end};
    }

private:
    // dx of one row, but where threads have rows of their own, or directions, which add to one another's dx. Much of
    // W_hh comes from an L2 cache: otherwise there is nothing to gain.
    bool overlaps(StepRange step_block) const {
        constexpr Index max_bytes = 10 * l2_bytes;
        return d_.kernels.overlaps_products && d_.call.dx && d_.schedule.active(step_block.begin) == 1 &&
               share_.row_step == 1 && share_.only_direction < 0 &&
               worth_overlapping<T>(d_.spec, d_.call.input_size, share_, step_block.end - step_block.begin, max_bytes);
    }

    // As long as a tile, but the one that comes last.
    static StepRange last_group(StepRange steps) {
        constexpr Index tile = OverlappedProduct<T>::rows;
        return {steps.end - steps.begin < 2 * tile ? steps.begin : steps.end - tile, steps.end};
    }

    // While its steps are walked, dx of the group before is computed.
    void next_group(StepRange step_block) {
        const Index last = group_.end - 1;
        group_ = last_group({step_block.begin, group_.begin});
        overlapped_.x = d_.dgates_at(last, 0);
        overlapped_.x_stride = -d_.dgates_width;
        overlapped_.out = d_.call.dx.at(d_.time(last, 0), d_.batch_index(0));
        overlapped_.out_stride = d_.reverse ? d_.call.dx.time_stride : -d_.call.dx.time_stride;
        overlapped_.column = overlapped_.chain = overlapped_.k = 0;
    }

    // A long step block is left now and then, to see whether it is cancelled.
    Index max_steps_at_once(Index step) const {
        constexpr double looks_every = 10e6;  // ns
        const Index rows = std::max<Index>(1, share_.rows(d_.schedule.active(step)));
        return 1 + static_cast<Index>(looks_every / time_of_step<T>(d_.spec, 0, rows));
    }

    // Returns how many of the steps were taken: all, unless the team ends.
    Index span(StepRange range) {
        const Index active = d_.schedule.active(range.begin), rows = share_.rows(active);
        if (rows == 0) return range.end - range.begin;
        BackwardSpan<T> span = {};
        span.no_step_after = true;
        span.zeros = d_.zeros();
        scratch_.backward_rows.resize(static_cast<std::size_t>(rows));
        for (Index i = 0; i < rows; ++i) {
            const Index row = share_.row(i);
            const bool comes_back = d_.schedule.length(row) > range.end && !d_.cut(range.end, row);
            if (comes_back) span.no_step_after = false;
            scratch_.backward_rows[static_cast<std::size_t>(i)] = row_at(range, row, comes_back);
        }
        span.steps = range.end - range.begin;
        span.rows = rows;
        span.row = scratch_.backward_rows.data();
        span.stride = strides(active);
        span.hidden_size = d_.hidden;
        span.proj_size = d_.spec.proj_size;
        span.nonlinearity = d_.spec.nonlinearity;
        span.w_hh = d_.weights.w_hh_backward.data();
        span.w_hr = d_.spec.proj_size ? d_.weights.w_hr_backward.data() : nullptr;
        span.block_begin = share_.block_begin;
        span.block_end = share_.block_end;
        span.proj_begin = share_.proj_begin;
        span.proj_end = share_.proj_end;
        span.scratch = scratch_.sums.reserve(rows * linear_tile_columns<T>);
        span.barrier = share_.barrier;
        if (overlapped_.x) overlap(span, range.begin == group_.begin);
        return d_.kernels.backward[static_cast<int>(d_.spec.cell)](span);
    }

    void overlap(BackwardSpan<T>& span, bool completes) {
        span.overlapped = &overlapped_;
        span.completes_overlapped = completes;
        span.dx = input_gradient(d_);
        const Part blocks = part_of(span.dx.block_end, team_.index, team_.size);
        span.dx.block_begin = blocks.begin;
        span.dx.block_end = blocks.end;
    }

    // The row at the span's last step, where the walk back begins.
    BackwardRow<T> row_at(StepRange range, Index row, bool comes_back) {
        const Index last = range.end - 1, packed = d_.schedule.packed(last, row), b = d_.batch_index(row);
        const bool enters = d_.schedule.length(row) == range.end;
        BackwardRow<T> at = {};
        at.dgates_next = comes_back ? d_.recurrent_dgates_at(range.end, row) : d_.zeros();
        at.dy = d_.call.dy ? d_.call.dy.at(d_.time(last, row), b) + d_.direction * d_.recurrent : d_.zeros();
        if (d_.spec.traits().has_cell_state) at.dc_carry = d_.dc_carry + b * d_.hidden;
        if (enters || d_.spec.traits().carries_dh) at.dh_carry = d_.dh_carry + b * d_.recurrent;
        if (!enters && !comes_back) clear_carries(at);
        if (d_.spec.traits().saved) at.saved = d_.tape.saved.data() + packed * d_.spec.traits().saved * d_.hidden;
        at.h = d_.y(last, row);
        if (d_.spec.traits().has_cell_state) at.c = d_.tape.c.data() + packed * d_.hidden;
        at.h_entering = d_.h_before(range.begin, row);
        at.c_entering = d_.c_before(range.begin, row);
        at.dgates = d_.dgates_at(last, row);
        if (d_.dh_proj) at.dh_proj = d_.dh_proj_at(last, row);
        return at;
    }

    // The gradient is cut behind this span. Threads that share the rows each clear the units they compute.
    void clear_carries(const BackwardRow<T>& row) {
        const auto clear = [](T* carry, Index begin, Index end, Index width) {
            for (Index i = begin * unit_block<T>; i < std::min(end * unit_block<T>, width); ++i) carry[i] = 0;
        };
        if (row.dc_carry) clear(row.dc_carry, share_.block_begin, share_.block_end, d_.hidden);
        if (row.dh_carry) clear(row.dh_carry, share_.block_begin, share_.block_end, d_.recurrent);
    }

    BackwardStrides<T> strides(Index active) const {
        const Index sign = d_.reverse ? 1 : -1, hidden = d_.hidden;
        BackwardStrides<T> stride = {};
        stride.dy = d_.call.dy ? sign * d_.call.dy.time_stride : 0;
        stride.saved = -active * d_.spec.traits().saved * hidden;
        stride.h = sign * d_.call.y.time_stride;
        stride.c = d_.spec.traits().has_cell_state ? -active * hidden : 0;
        stride.dgates = -active * d_.dgates_width;
        stride.dh_proj = -active * d_.spec.proj_size;
        return stride;
    }

    const DirectionBackward<T>& d_;
    const ThreadShare& share_;
    ThreadScratch<T>& scratch_;
    const Team& team_;
    StepRange group_ = {0, 0};              // the steps in hand
    OverlappedProduct<T> overlapped_ = {};  // dx of the group after it
};

// dh0 and dc0: what comes through the first step. Rows [part) of the batch's sorted rows.
template <class T>
void initial_state_gradient(const DirectionBackward<T>& d, ThreadScratch<T>& scratch, Part part) {
    T* const dh0 = d.call.dh0[d.direction];
    T* const dc0 = d.call.dc0[d.direction];
    scratch.left_rows.clear();
    scratch.out.clear();
    for (Index row = part.begin; row < part.end; ++row) {
        const Index b = d.batch_index(row);
        const bool cut = d.schedule.reset(d.reverse, 0, row);
        if (cut) std::fill_n(dh0 + b * d.recurrent, d.recurrent, T(0));
        if (dc0 && cut) std::fill_n(dc0 + b * d.hidden, d.hidden, T(0));
        if (dc0 && !cut) std::copy_n(d.dc_carry + b * d.hidden, d.hidden, dc0 + b * d.hidden);
        if (cut) continue;
        scratch.left_rows.push_back(d.recurrent_dgates_at(0, row));
        scratch.out.push_back(dh0 + b * d.recurrent);
    }
    LinearArgs<T> args = {};
    args.rows = static_cast<Index>(scratch.left_rows.size());
    if (args.rows == 0) return;
    args.a = scratch.left_rows.data();
    args.out = scratch.out.data();
    args.depth = d.spec.traits().gates * d.hidden;
    args.columns = d.recurrent;
    args.by_chains = true;
    args.b = d.weights.w_hh_backward.data();
    args.block_end = ceil_div(d.recurrent, unit_block<T>);
    d.kernels.linear(args);
    if (!d.spec.traits().carries_dh) return;
    for (T* dh : scratch.out) {
        const T* carry = d.dh_carry + (dh - dh0);
        for (Index i = 0; i < d.recurrent; ++i) dh[i] += carry[i];
    }
}

}  // namespace fusedrnn
