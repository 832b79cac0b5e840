#include <algorithm>

#include "rnn/back_through_time.hpp"
#include "rnn/direction_backward.hpp"
#include "rnn/layer.hpp"
#include "rnn/split.hpp"
#include "rnn/thread_share.hpp"
#include "rnn/weight_gradient.hpp"

namespace fusedrnn {
namespace {

// A thread's part of a window's row-steps: those of its own rows, whose gate gradients are in its caches; or where rows
// are not what the threads share out, as many as any other thread has.
template <class T, class Visit>
void for_each_of_share(const DirectionBackward<T>& d, StepRange steps, const ThreadShare& share, const Team& team,
                       Visit visit) {
    if (share.row_step > 1) {
        for (Index s = steps.begin; s < steps.end; ++s)
            for (Index i = 0; i < share.rows(d.schedule.active(s)); ++i) visit(s, share.row(i));
        return;
    }
    const Index first = d.schedule.packed(steps.begin, 0);
    const Index count = d.schedule.packed(steps.end - 1, d.schedule.active(steps.end - 1)) - first;
    const Part part = part_of(count, team.index, team.size);
    d.schedule.for_each(first + part.begin, first + part.end, visit);
}

// dx of a window's steps. The second direction adds to what the first one left.
template <class T>
void take_input_gradient(const DirectionBackward<T>& d, StepRange steps, const ThreadShare& share,
                         ThreadScratch<T>& scratch, const Team& team) {
    scratch.rows.clear();
    scratch.out.clear();
    for_each_of_share(d, steps, share, team, [&](Index s, Index row) {
        scratch.rows.push_back(d.gates_at(s, row));
        scratch.out.push_back(d.call.dx.at(d.time(s, row), d.batch(row)));
    });
    LinearArgs<T> args = input_gradient(d);
    args.rows = static_cast<Index>(scratch.rows.size());
    if (args.rows == 0) return;
    args.a = scratch.rows.data();
    args.out = scratch.out.data();
    d.kernels.linear(args);
}

// What follows from a window's gate gradients; dx of its steps up to `dx_end`.
template <class T>
void finish_window(const DirectionBackward<T>& d, Index window, Index dx_end, const ThreadShare& share,
                   ThreadScratch<T>& scratch, const Team& team) {
    if (window + 1 == d.windows.count())
        initial_state_gradient(d, scratch, part_of(d.schedule.rows(), team.index, team.size));
    if (d.call.dx) take_input_gradient(d, {d.windows.steps(window).begin, dx_end}, share, scratch, team);
    WeightGradient<T>(d, window, team, scratch).run();
}

// Row-steps of a window. Each reads the weights again, and writes their gradients: where they are large that should be
// for more rows. Directions that go at once take the whole way as one: the second adds to the first one's dx.
template <class T>
Index rows_of_window(const LayerBackward<T>& call, SplitBy by) {
    constexpr Index steps = 4;
    if (by == SplitBy::directions) return call.schedule.total();
    const NetworkSpec& spec = call.spec;
    return std::max(weight_bytes<T>(spec, 0, spec.hidden_size) > l2_bytes ? 2 * reduction_block : reduction_block, steps * call.schedule.batch());
}

template <class T>
void reserve_gradients(const LayerBackward<T>& call, const Windows& windows, Workspace<T>& workspace) {
    const NetworkSpec& spec = call.spec;
    const CellTraits& traits = spec.traits();
    const Index rows = windows.capacity(), batch = call.schedule.batch();
    for (Index direction = 0; direction < spec.directions(); ++direction) {
        if (!traits.replaces_saved())
            workspace.gates[direction].reserve(rows * traits.gate_gradients * spec.hidden_size);
        workspace.dh_carry[direction].reserve(batch * spec.recurrent_size());
        if (spec.proj_size) workspace.dh_proj[direction].reserve(rows * spec.proj_size);
        if (traits.has_cell) workspace.dc_carry[direction].reserve(batch * spec.hidden_size);
    }
}

// Rows that never took a step hand their state's gradient through.
template <class T>
void pass_through_empty_rows(const LayerBackward<T>& call, Index direction) {
    const auto pass = [&](T* to, const T* from, Index width) {
        if (to) copy_or_zero(from, call.schedule.batch() * width, to);
    };
    pass(call.dh0[direction], call.dh_n[direction], call.spec.recurrent_size());
    pass(call.dc0[direction], call.dc_n[direction], call.spec.hidden_size);
}

}  // namespace

template <class T>
void layer_backward(const LayerBackward<T>& call, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = call.spec;
    const Schedule& schedule = call.schedule;
    const Split split = choose_split(spec, call.input_size, schedule.rows(), schedule.steps(), threads, sizeof(T));
    const Windows windows(schedule, rows_of_window(call, split.by));
    reserve_gradients(call, windows, workspace);
    for (Index direction = 0; direction < spec.directions(); ++direction) pass_through_empty_rows(call, direction);
    if (schedule.total() == 0) return;

    workspace.prepare(split.threads, std::max(spec.recurrent_size(), spec.traits().gates * spec.hidden_size));
    std::vector<DirectionBackward<T>> directions;
    std::vector<std::vector<StepRange>> spans;
    for (Index direction = 0; direction < spec.directions(); ++direction) {
        directions.emplace_back(call, windows, workspace, direction);
        spans.push_back(schedule.spans(spec.runs_backwards(direction), call.truncate));
        load_carries(directions.back());
    }
    const Index at_once = split.by == SplitBy::directions ? spec.directions() : 1;

    auto body = [&](const Team& team) {
        ThreadScratch<T>& scratch = workspace.threads[static_cast<std::size_t>(team.index)];
        const ThreadShare share = share_of<T>(spec, split.by, team);
        for (auto first = directions.begin(); first != directions.end(); first += at_once)
            for (Index window = 0; window < windows.count(); ++window) {
                Index dx_end = windows.steps(window).end;
                for (auto d = first; d != first + at_once; ++d)
                    if (share.takes(d->direction))
                        dx_end = BackThroughTime<T>(*d, share, scratch, team)
                                     .run(spans[static_cast<std::size_t>(d->direction)], windows.steps(window));
                for (auto d = first; d != first + at_once; ++d) {
                    team.barrier->wait();
                    finish_window(*d, window, dx_end, share, scratch, team);
                }
            }
    };
    parallel(split.threads, body);
    for (const DirectionBackward<T>& d : directions) keep_pending(d);
}

template void layer_backward(const LayerBackward<float>&, Workspace<float>&, int);
template void layer_backward(const LayerBackward<double>&, Workspace<double>&, int);

}  // namespace fusedrnn
