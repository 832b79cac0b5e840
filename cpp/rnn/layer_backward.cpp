#include <algorithm>

#include "rnn/back_through_time.hpp"
#include "rnn/direction_backward.hpp"
#include "rnn/layer.hpp"
#include "rnn/split.hpp"
#include "rnn/thread_share.hpp"
#include "rnn/weight_gradient.hpp"

namespace fusedrnn {
namespace {

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
    args.by_chains = true;
    args.add_to_out = add;
    args.block_end = ceil_div(d.call.input_size, unit_block<T>);
    d.kernels.linear(args);
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
