#include <algorithm>

#include "dispatch/dispatch.hpp"
#include "rnn/layer.hpp"
#include "rnn/split.hpp"
#include "rnn/thread_share.hpp"

namespace fusedrnn {
namespace {

// What the phases of a layer's backward pass share, for one direction. Arrays in packed order live in the workspace.
template <class T>
struct DirectionBackward {
    const LayerBackward<T>& call;
    const NetworkSpec& spec;
    const Schedule& schedule;
    Workspace<T>& workspace;
    const Index direction;
    const bool backwards;
    const Kernels<T>& kernels;
    const PackedLayer<T>& weights;
    const DirectionTape<T>& tape;
    T* const gates;     // [row-step][gate gradients][hidden]
    T* const dh_proj;   // [row-step][proj], or null
    T* const dc_carry;  // [batch][hidden]
    T* const dh_carry;  // [batch][recurrent]
    const Index hidden, recurrent, gates_width;

    DirectionBackward(const LayerBackward<T>& call_, Workspace<T>& workspace_, Index direction_)
        : call(call_), spec(call_.spec), schedule(call_.schedule), workspace(workspace_), direction(direction_),
          backwards(spec.runs_backwards(direction_)), kernels(kernels_of<T>(current_kernels())),
          weights(*call_.weights[direction_]), tape(*call_.tape[direction_]),
          gates(workspace_.gates[direction_].data()), dh_proj(workspace_.dh_proj[direction_].data()),
          dc_carry(workspace_.dc_carry[direction_].data()), dh_carry(workspace_.dh_carry[direction_].data()),
          hidden(spec.hidden_size), recurrent(spec.recurrent_size()),
          gates_width(spec.traits().gate_gradients * spec.hidden_size) {}

    const T* zeros() const { return workspace.zeros.data(); }
    Index batch(Index row) const { return schedule.batch_row(row); }
    Index time(Index step, Index row) const { return schedule.time(backwards, step, row); }
    T* gates_at(Index step, Index row) const { return gates + schedule.packed(step, row) * gates_width; }
    T* recurrent_gates_at(Index step, Index row) const {
        return gates_at(step, row) + spec.traits().recurrent_offset * hidden;
    }
    const T* y(Index step, Index row) const {
        return call.y.at(time(step, row), batch(row)) + direction * recurrent;
    }
    const T* h_before(Index step, Index row) const {
        if (schedule.reset(backwards, step, row)) return zeros();
        if (step > 0) return y(step - 1, row);
        const T* h0 = call.h0[direction];
        return h0 ? h0 + batch(row) * recurrent : zeros();
    }
    const T* c_before(Index step, Index row) const {
        if (!spec.traits().has_cell) return nullptr;
        if (schedule.reset(backwards, step, row)) return zeros();
        if (step > 0) return tape.c.data() + schedule.packed(step - 1, row) * hidden;
        const T* c0 = call.c0[direction];
        return c0 ? c0 + batch(row) * hidden : zeros();
    }
    // No gradient goes from this step to the one before.
    bool cut(Index step, Index row) const {
        return schedule.reset(backwards, step, row) || schedule.window_begins(step, row, call.truncate);
    }
};

// The gradients that enter at the rows' last steps.
template <class T>
void load_carries(const DirectionBackward<T>& d) {
    const auto fill = [&](T* carry, const T* from, Index width) {
        if (!carry) return;
        for (Index row = 0; row < d.schedule.rows(); ++row) {
            const Index b = d.batch(row);
            if (from)
                std::copy_n(from + b * width, width, carry + b * width);
            else
                std::fill_n(carry + b * width, width, T(0));
        }
    };
    fill(d.dh_carry, d.call.dh_n[d.direction], d.recurrent);
    fill(d.dc_carry, d.call.dc_n[d.direction], d.hidden);
}

// One thread's walk back through the steps: gate gradients of all row-steps.
template <class T>
class BackThroughTime {
public:
    BackThroughTime(const DirectionBackward<T>& d, const ThreadShare& share, ThreadScratch<T>& scratch)
        : d_(d), share_(share), scratch_(scratch) {}

    void run(const std::vector<StepRange>& spans) {
        for (auto span = spans.rbegin(); span != spans.rend(); ++span) this->span(*span);
    }

private:
    void span(StepRange range) {
        const Index active = d_.schedule.active(range.begin), rows = share_.rows(active);
        if (rows == 0) return;
        BackwardSpan<T> span = {};
        span.enters_at_end = true;
        scratch_.backward_rows.resize(static_cast<std::size_t>(rows));
        for (Index i = 0; i < rows; ++i) {
            const Index row = share_.row(i);
            const bool comes_back = d_.schedule.length(row) > range.end && !d_.cut(range.end, row);
            if (comes_back) span.enters_at_end = false;
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
        span.scratch = scratch_.sums.reserve(rows * linear_group * unit_block<T>);
        span.barrier = share_.barrier;
        d_.kernels.backward[static_cast<int>(d_.spec.cell)](span);
    }

    // The row at the span's last step, where the walk back begins.
    BackwardRow<T> row_at(StepRange range, Index row, bool comes_back) {
        const Index last = range.end - 1, packed = d_.schedule.packed(last, row), b = d_.batch(row);
        const bool enters = d_.schedule.length(row) == range.end;
        BackwardRow<T> at = {};
        at.gates_next = comes_back ? d_.recurrent_gates_at(range.end, row) : d_.zeros();
        at.dy = d_.call.dy ? d_.call.dy.at(d_.time(last, row), b) + d_.direction * d_.recurrent : d_.zeros();
        if (d_.spec.traits().has_cell) at.dc_carry = d_.dc_carry + b * d_.hidden;
        if (enters || d_.spec.traits().carries_dh) at.dh_carry = d_.dh_carry + b * d_.recurrent;
        if (!enters && !comes_back) clear_carries(at);
        if (d_.spec.traits().saved) at.saved = d_.tape.saved.data() + packed * d_.spec.traits().saved * d_.hidden;
        at.h = d_.y(last, row);
        if (d_.spec.traits().has_cell) at.c = d_.tape.c.data() + packed * d_.hidden;
        at.h_prev_last = d_.h_before(range.begin, row);
        at.c_prev_last = d_.c_before(range.begin, row);
        at.gates = d_.gates + packed * d_.gates_width;
        if (d_.dh_proj) at.dh_proj = d_.dh_proj + packed * d_.spec.proj_size;
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
        const Index sign = d_.backwards ? 1 : -1, hidden = d_.hidden;
        BackwardStrides<T> stride = {};
        stride.dy = d_.call.dy ? sign * d_.call.dy.time_stride : 0;
        stride.saved = -active * d_.spec.traits().saved * hidden;
        stride.h = sign * d_.call.y.time_stride;
        stride.c = d_.spec.traits().has_cell ? -active * hidden : 0;
        stride.gates = -active * d_.gates_width;
        stride.dh_proj = -active * d_.spec.proj_size;
        return stride;
    }

    const DirectionBackward<T>& d_;
    const ThreadShare& share_;
    ThreadScratch<T>& scratch_;
};

// dh0 and dc0: what comes through the first step. Rows [part) of the batch's sorted rows.
template <class T>
void initial_state_gradient(const DirectionBackward<T>& d, ThreadScratch<T>& scratch, Part part) {
    T* const dh0 = d.call.dh0[d.direction];
    T* const dc0 = d.call.dc0[d.direction];
    scratch.left.clear();
    scratch.out.clear();
    for (Index row = part.begin; row < part.end; ++row) {
        const Index b = d.batch(row);
        T* dh = dh0 + b * d.recurrent;
        const bool cut = d.schedule.reset(d.backwards, 0, row);
        if (d.spec.traits().carries_dh && !cut)
            std::copy_n(d.dh_carry + b * d.recurrent, d.recurrent, dh);
        else
            std::fill_n(dh, d.recurrent, T(0));
        if (dc0) {
            if (cut)
                std::fill_n(dc0 + b * d.hidden, d.hidden, T(0));
            else
                std::copy_n(d.dc_carry + b * d.hidden, d.hidden, dc0 + b * d.hidden);
        }
        if (cut) continue;
        scratch.left.push_back(d.recurrent_gates_at(0, row));
        scratch.out.push_back(dh);
    }
    LinearArgs<T> args = {};
    args.rows = static_cast<Index>(scratch.left.size());
    if (args.rows == 0) return;
    args.a = scratch.left.data();
    args.out = scratch.out.data();
    args.depth = d.spec.traits().gates * d.hidden;
    args.columns = d.recurrent;
    args.panel = d.weights.w_hh_backward.data();
    args.continue_out = true;
    args.block_end = ceil_div(d.recurrent, unit_block<T>);
    d.kernels.linear(args);
}

// dx of the row-steps whose sorted row is in `part`. The second direction adds to what the first one left.
template <class T>
void input_gradient(const DirectionBackward<T>& d, ThreadScratch<T>& scratch, const ThreadShare& share,
                    bool add) {
    scratch.left.clear();
    scratch.out.clear();
    for (Index s = 0; s < d.schedule.steps(); ++s)
        for (Index i = 0; i < share.rows(d.schedule.active(s)); ++i) {
            const Index row = share.row(i);
            scratch.left.push_back(d.gates_at(s, row));
            scratch.out.push_back(d.call.dx.at(d.time(s, row), d.batch(row)));
        }
    LinearArgs<T> args = {};
    args.rows = static_cast<Index>(scratch.left.size());
    if (args.rows == 0) return;
    args.a = scratch.left.data();
    args.out = scratch.out.data();
    args.depth = d.spec.traits().gates * d.hidden;
    args.columns = d.call.input_size;
    args.panel = d.weights.w_ih_backward.data();
    args.continue_out = add;
    args.block_end = ceil_div(d.call.input_size, unit_block<T>);
    d.kernels.linear(args);
}

// Weight gradients, the rows (gates x units) shared out between the threads.
template <class T>
class WeightGradient {
public:
    WeightGradient(const DirectionBackward<T>& d, const Team& team, ThreadScratch<T>& scratch)
        : d_(d), team_(team), scratch_(scratch) {}

    void run() {
        const LayerGradients<T>& out = d_.call.gradients[d_.direction];
        gather(scratch_.left, [&](Index s, Index row) { return d_.call.x.at(d_.time(s, row), d_.batch(row)); });
        gather(scratch_.left_too, [&](Index s, Index row) { return d_.h_before(s, row); });
        const OuterTarget<T> input = {scratch_.left.data(), d_.call.input_size, out.w_ih};
        const OuterTarget<T> recurrent = {scratch_.left_too.data(), d_.recurrent, out.w_hh};
        if (d_.spec.traits().recurrent_offset == 0) {  // both weights see the same gradients
            const OuterTarget<T> both[] = {input, recurrent};
            outer(d_.gates, d_.gates_width, d_.gates_width, both, 2);
            if (out.b_ih) sums(d_.gates, d_.gates_width, d_.gates_width, out.b_ih);
            if (out.b_hh) std::copy_n(out.b_ih + part(d_.gates_width).begin, part_size(d_.gates_width),
                                      out.b_hh + part(d_.gates_width).begin);
        } else {
            by_runs(false, input, out.b_ih);
            by_runs(true, recurrent, out.b_hh);
        }
        if (!out.w_hr) return;
        gather(scratch_.left, [&](Index s, Index row) -> const T* {
            return d_.tape.units.data() + d_.schedule.packed(s, row) * d_.hidden;
        });
        const OuterTarget<T> projection = {scratch_.left.data(), d_.hidden, out.w_hr};
        outer(d_.dh_proj, d_.spec.proj_size, d_.spec.proj_size, &projection, 1);
    }

private:
    Part part(Index count) const { return part_of(count, team_.index, team_.size); }
    Index part_size(Index count) const { return part(count).end - part(count).begin; }

    template <class RowOf>
    void gather(std::vector<const T*>& rows, RowOf row_of) {
        rows.resize(static_cast<std::size_t>(d_.schedule.total()));
        auto at = rows.begin();
        for (Index s = 0; s < d_.schedule.steps(); ++s)
            for (Index row = 0; row < d_.schedule.active(s); ++row) *at++ = row_of(s, row);
    }

    // Where the gate gradients stand in another order than the rows of the parameter.
    void by_runs(bool recurrent, const OuterTarget<T>& target, T* bias) {
        const GradientRuns runs = gradient_runs(d_.spec.cell, recurrent);
        for (int r = 0; r < runs.count; ++r) {
            const T* gates = d_.gates + runs.run[r].slot * d_.hidden;
            const Index row = runs.run[r].gate * d_.hidden, count = runs.run[r].count * d_.hidden;
            const OuterTarget<T> rows = {target.b, target.columns, target.out + row * target.columns};
            outer(gates, d_.gates_width, count, &rows, 1);
            if (bias) sums(gates, d_.gates_width, count, bias + row);
        }
    }

    void outer(const T* a, Index a_stride, Index count, const OuterTarget<T>* targets, int target_count) {
        OuterArgs<T> args = {};
        args.rows = d_.schedule.total();
        args.a = a;
        args.a_stride = a_stride;
        args.m_begin = part(count).begin;
        args.m_end = part(count).end;
        args.targets = targets;
        args.target_count = target_count;
        args.scratch = scratch_.sums.reserve(outer_scratch<T>);
        d_.kernels.outer(args);
    }

    void sums(const T* a, Index a_stride, Index count, T* out) {
        d_.kernels.column_sum({d_.schedule.total(), a, a_stride, out, part(count).begin, part(count).end});
    }

    const DirectionBackward<T>& d_;
    const Team& team_;
    ThreadScratch<T>& scratch_;
};

template <class T>
void reserve_gradients(const LayerBackward<T>& call, Workspace<T>& workspace) {
    const NetworkSpec& spec = call.spec;
    const CellTraits& traits = spec.traits();
    const Index total = call.schedule.total(), batch = call.schedule.batch();
    for (Index direction = 0; direction < spec.directions(); ++direction) {
        workspace.gates[direction].reserve(total * traits.gate_gradients * spec.hidden_size);
        workspace.dh_carry[direction].reserve(batch * spec.recurrent_size());
        if (spec.proj_size) workspace.dh_proj[direction].reserve(total * spec.proj_size);
        if (traits.has_cell) workspace.dc_carry[direction].reserve(batch * spec.hidden_size);
    }
}

// Rows that never took a step hand their state's gradient through.
template <class T>
void pass_through_empty_rows(const LayerBackward<T>& call, Index direction) {
    const auto pass = [&](T* to, const T* from, Index width) {
        if (!to) return;
        const Index count = call.schedule.batch() * width;
        if (from)
            std::copy_n(from, count, to);
        else
            std::fill_n(to, count, T(0));
    };
    pass(call.dh0[direction], call.dh_n[direction], call.spec.recurrent_size());
    pass(call.dc0[direction], call.dc_n[direction], call.spec.hidden_size);
}

}  // namespace

template <class T>
void layer_backward(const LayerBackward<T>& call, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = call.spec;
    const Schedule& schedule = call.schedule;
    reserve_gradients(call, workspace);
    for (Index direction = 0; direction < spec.directions(); ++direction) pass_through_empty_rows(call, direction);
    if (schedule.total() == 0) return;

    const Split split = choose_split(spec, call.input_size, schedule.rows(), schedule.steps(), threads, sizeof(T));
    workspace.prepare(split.threads, std::max(spec.recurrent_size(), spec.traits().gates * spec.hidden_size));
    std::vector<DirectionBackward<T>> directions;
    std::vector<std::vector<StepRange>> spans;
    for (Index direction = 0; direction < spec.directions(); ++direction) {
        directions.emplace_back(call, workspace, direction);
        spans.push_back(schedule.spans(spec.runs_backwards(direction), call.truncate));
        load_carries(directions.back());
    }

    auto body = [&](const Team& team) {
        ThreadScratch<T>& scratch = workspace.threads[static_cast<std::size_t>(team.index)];
        const ThreadShare share = share_of<T>(spec, split.by, team);
        for (const DirectionBackward<T>& d : directions)
            if (share.takes(d.direction))
                BackThroughTime<T>(d, share, scratch).run(spans[static_cast<std::size_t>(d.direction)]);
        team.barrier->wait();
        ThreadShare rows;  // from here on everything splits by rows or by outputs
        rows.first_row = team.index;
        rows.row_step = team.size;
        for (const DirectionBackward<T>& d : directions) {
            initial_state_gradient(d, scratch, part_of(schedule.rows(), team.index, team.size));
            if (call.dx) input_gradient(d, scratch, rows, d.direction > 0);
            WeightGradient<T>(d, team, scratch).run();
        }
    };
    parallel(split.threads, body);
}

template void layer_backward(const LayerBackward<float>&, Workspace<float>&, int);
template void layer_backward(const LayerBackward<double>&, Workspace<double>&, int);

}  // namespace fusedrnn
