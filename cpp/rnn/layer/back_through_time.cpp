// Goes back through the steps of a layer, span by span: gate gradients, and the gradient of the initial state.
#include "rnn/layer/back_through_time.hpp"

#include <algorithm>

#include "fusedrnn/interrupt.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "rnn/plan/projection.hpp"
#include "rnn/plan/split.hpp"

namespace fusedrnn {

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

template <class T>
LinearArgs<T> input_gradient(const DirectionBackward<T>& d) {
    LinearArgs<T> args = {};
    args.depth = d.traits().gates * d.hidden;
    args.columns = d.call.input_size;
    args.b = d.weights.w_ih_backward.data();
    args.by_chains = true;
    args.add_to_out = d.direction > 0;
    args.block_end = ceil_div(d.call.input_size, unit_block<T>);
    return args;
}

template <class T>
Reached BackThroughTime<T>::run(const std::vector<StepRange>& spans, StepRange step_block) {
    group_ = overlaps(step_block) ? last_overlapped_group<T>(step_block) : step_block;
    const auto begins_before = [](StepRange span, Index step) { return span.begin < step; };
    auto span = std::lower_bound(spans.begin(), spans.end(), step_block.end, begins_before);
    while (span != spans.begin() && (--span)->end > step_block.begin)
        for (Index end = std::min(span->end, step_block.end); end > std::max(span->begin, step_block.begin);) {
            if (end == group_.begin) next_group(step_block);
            const Index rows = share_.rows(d_.schedule.active(end - 1));
            const Index most = max_steps_between_checks<T>(d_.spec, 0, rows);
            const Index begin = std::max({span->begin, group_.begin, end - most});
            check_interrupt();
            end -= run_span({begin, end});
            if (team_.ends()) return {end, group_.end};
        }
    return {step_block.begin, group_.end};
}

template <class T>
bool BackThroughTime<T>::overlaps(StepRange step_block) const {
    return d_.call.dx && d_.schedule.active(step_block.begin) == 1 &&
           overlaps_input_gradient<T>(d_.spec, d_.call.input_size, share_, d_.call.kernels,
                                      step_block.end - step_block.begin);
}

// While the kernel goes through its steps, it computes dx of the group after it.
template <class T>
void BackThroughTime<T>::next_group(StepRange step_block) {
    const Index last = group_.end - 1;
    group_ = last_overlapped_group<T>({step_block.begin, group_.begin});
    begin_overlapped<T>(overlapped_, d_.dgates_at(last, 0), -d_.dgates_width, d_.dx_at(last, 0),
                        -d_.step_stride(d_.call.dx.time_stride));
}

// Returns how many of the steps were taken: all, unless the team ends.
template <class T>
Index BackThroughTime<T>::run_span(StepRange range) {
    const Index active = d_.schedule.active(range.begin), steps = range.end - range.begin;
    std::vector<BackwardRow<T>>& rows = scratch_.backward_rows;
    rows.resize(static_cast<std::size_t>(share_.rows(active)));
    if (rows.empty()) return steps;
    bool any_has_next = false;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i] = row_at(range, share_.row(static_cast<Index>(i)));
        any_has_next |= rows[i].dgates_next != d_.zeros;
    }
    T* const sums = scratch_.sums.reserve(static_cast<Index>(rows.size()) * linear_tile_columns<T>);
    BackwardSpan<T> span =
        backward_span(d_.spec, d_.weights, share_, steps, rows, strides(active), !any_has_next, d_.zeros, sums);
    if (overlapped_.x) overlap(span, range.begin == group_.begin);
    return d_.call.kernels.backward[static_cast<int>(d_.spec.cell)](span);
}

template <class T>
void BackThroughTime<T>::overlap(BackwardSpan<T>& span, bool completes) {
    span.overlapped = &overlapped_;
    span.completes_overlapped = completes;
    span.dx = input_gradient(d_);
    const Range blocks = part_of(span.dx.block_end, team_.index, team_.size);
    span.dx.block_begin = blocks.begin;
    span.dx.block_end = blocks.end;
}

// The row at the range's last step, where the kernel begins.
template <class T>
BackwardRow<T> BackThroughTime<T>::row_at(StepRange range, Index row) {
    const Index last = range.end - 1, b = d_.batch_index(row);
    const CellTraits& traits = d_.traits();
    const bool is_rows_last = d_.schedule.length(row) == range.end;
    const bool has_next = !is_rows_last && !d_.cut(range.end, row);  // a gradient comes back from the step after
    const T* const dy = d_.dy_at(last, row);
    const BackwardRow<T> at = {
        .dgates_next = has_next ? d_.recurrent_dgates_at(range.end, row) : d_.zeros,
        .dy = dy ? dy : d_.zeros,
        .dh_carry = is_rows_last || traits.carries_dh ? d_.dh_carry + b * d_.recurrent : nullptr,
        .dc_carry = traits.has_cell_state ? d_.dc_carry + b * d_.hidden : nullptr,
        .saved = traits.saved ? d_.saved_at(last, row) : nullptr,
        .h = d_.h(last, row),
        .c = d_.c(last, row),
        .h_entering = d_.h_before(range.begin, row),
        .c_entering = d_.c_before(range.begin, row),
        .dgates = d_.dgates_at(last, row),
        .dh_proj = d_.dh_proj ? d_.dh_proj_at(last, row) : nullptr,
    };
    if (!is_rows_last && !has_next) clear_carries(at);
    return at;
}

// The gradient is cut at the end of this range. Threads that share the rows each clear the units they compute.
template <class T>
void BackThroughTime<T>::clear_carries(const BackwardRow<T>& row) {
    const auto clear = [](T* carry, Index begin, Index end, Index width) {
        for (Index i = begin * unit_block<T>; i < std::min(end * unit_block<T>, width); ++i) carry[i] = 0;
    };
    if (row.dc_carry) clear(row.dc_carry, share_.block_begin, share_.block_end, d_.hidden);
    if (row.dh_carry) clear(row.dh_carry, share_.block_begin, share_.block_end, d_.recurrent);
}

template <class T>
BackwardStrides<T> BackThroughTime<T>::strides(Index active) const {
    return {
        .dy = d_.call.dy ? -d_.step_stride(d_.call.dy.time_stride) : 0,
        .saved = -active * d_.traits().saved * d_.hidden,
        .h = -d_.h_stride(),
        .c = -d_.c_stride(active),
        .dgates = -active * d_.dgates_width,
        .dh_proj = -active * d_.spec.proj_size,
    };
}

template <class T>
void initial_state_gradient(const DirectionBackward<T>& d, ThreadScratch<T>& scratch, Range part) {
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
    args.depth = d.traits().gates * d.hidden;
    args.columns = d.recurrent;
    args.by_chains = true;
    args.b = d.weights.w_hh_backward.data();
    args.block_end = ceil_div(d.recurrent, unit_block<T>);
    d.call.kernels.linear(args);
    if (!d.traits().carries_dh) return;
    for (T* dh : scratch.out) {
        const T* carry = d.dh_carry + (dh - dh0);
        for (Index i = 0; i < d.recurrent; ++i) dh[i] += carry[i];
    }
}

#define FUSEDRNN_FOR(T)                                                 \
    template void load_carries(const DirectionBackward<T>&);            \
    template LinearArgs<T> input_gradient(const DirectionBackward<T>&); \
    template class BackThroughTime<T>;                                  \
    template void initial_state_gradient(const DirectionBackward<T>&, ThreadScratch<T>&, Range);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
