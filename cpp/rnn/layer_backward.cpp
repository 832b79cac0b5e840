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
        span.scratch = scratch_.sums.reserve(rows * linear_tile_columns<T>);
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
        const bool cut = d.schedule.reset(d.backwards, 0, row);
        if (cut) std::fill_n(dh0 + b * d.recurrent, d.recurrent, T(0));
        if (dc0 && cut) std::fill_n(dc0 + b * d.hidden, d.hidden, T(0));
        if (dc0 && !cut) std::copy_n(d.dc_carry + b * d.hidden, d.hidden, dc0 + b * d.hidden);
        if (cut) continue;
        scratch.left.push_back(d.recurrent_gates_at(0, row));
        scratch.out.push_back(dh0 + b * d.recurrent);
    }
    LinearArgs<T> args = {};
    args.rows = static_cast<Index>(scratch.left.size());
    if (args.rows == 0) return;
    args.a = scratch.left.data();
    args.out = scratch.out.data();
    args.depth = d.spec.traits().gates * d.hidden;
    args.columns = d.recurrent;
    args.panel = d.weights.w_hh_backward.data();
    args.block_end = ceil_div(d.recurrent, unit_block<T>);
    d.kernels.linear(args);
    if (!d.spec.traits().carries_dh) return;
    for (T* dh : scratch.out) {
        const T* carry = d.dh_carry + (dh - dh0);
        for (Index i = 0; i < d.recurrent; ++i) dh[i] += carry[i];
    }
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
            outer(d_.gates, d_.gates_width, d_.gates_width, both, 2);
            if (out.b_ih) sums(d_.gates, d_.gates_width, d_.gates_width, out.b_ih);
            if (out.b_hh) sums(d_.gates, d_.gates_width, d_.gates_width, out.b_hh);
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
            outer(gates, d_.gates_width, count, &rows, 1);
            if (bias) sums(gates, d_.gates_width, count, bias + row);
        }
    }

    void outer(const T* a, Index a_stride, Index count, const OuterTarget<T>* targets, int target_count) {
        OuterArgs<T> args = {};
        args.rows = ready_.count;
        args.a = a + ready_.first * a_stride;
        args.a_stride = a_stride;
        args.m_begin = part(count).begin;
        args.m_end = part(count).end;
        args.targets = targets;
        args.target_count = target_count;
        args.scratch = scratch_.sums.reserve(outer_scratch<T>);
        d_.kernels.outer(args);
    }

    void sums(const T* a, Index a_stride, Index count, T* out) {
        d_.kernels.column_sum({ready_.count, a + ready_.first * a_stride, a_stride, out, part(count).begin,
                               part(count).end});
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

template <class T>
void reserve_gradients(const LayerBackward<T>& call, Workspace<T>& workspace) {
    const NetworkSpec& spec = call.spec;
    const CellTraits& traits = spec.traits();
    const Index total = call.schedule.total() + (call.pending ? reduction_block : 0), batch = call.schedule.batch();
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
        if (team.index == 0)
            for (const DirectionBackward<T>& d : directions) append_pending(d);
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
    for (const DirectionBackward<T>& d : directions) keep_pending(d);
}

template void layer_backward(const LayerBackward<float>&, Workspace<float>&, int);
template void layer_backward(const LayerBackward<double>&, Workspace<double>&, int);

}  // namespace fusedrnn
