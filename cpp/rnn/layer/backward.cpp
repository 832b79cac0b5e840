// One layer backward: back through time, then dx, dh0 and the weights' gradients, with the threads that share it.
#include "rnn/layer/backward.hpp"

#include <algorithm>

#include "rnn/layer/back_through_time.hpp"
#include "rnn/layer/direction_backward.hpp"
#include "rnn/layer/weight_gradient.hpp"
#include "rnn/plan/split.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {
namespace {

// A thread's part of a step block's row-steps: those of its own rows, whose gate gradients are in its caches; or where
// rows are not what the threads share out, as many as any other thread has.
template <class T, class Visit>
void for_each_of_share(const DirectionBackward<T>& d, StepRange steps, const ThreadShare& share, const Team& team,
                       Visit visit) {
    if (share.row_step > 1) {
        for (Index s = steps.begin; s < steps.end; ++s)
            for (Index i = 0; i < share.rows(d.schedule.active(s)); ++i) visit(s, share.row(i));
        return;
    }
    const Index first = d.schedule.row_step(steps.begin, 0);
    const Index count = d.schedule.row_step(steps.end - 1, d.schedule.active(steps.end - 1)) - first;
    const Range part = part_of(count, team.index, team.size);
    d.schedule.for_each(first + part.begin, first + part.end, visit);
}

// dx of a step block's steps. The second direction adds to what the first one left.
template <class T>
void take_input_gradient(const DirectionBackward<T>& d, StepRange steps, const ThreadShare& share,
                         ThreadScratch<T>& scratch, const Team& team) {
    scratch.left_rows.clear();
    scratch.out.clear();
    for_each_of_share(d, steps, share, team, [&](Index s, Index row) {
        scratch.left_rows.push_back(d.dgates_at(s, row));
        scratch.out.push_back(d.dx_at(s, row));
    });
    LinearArgs<T> args = input_gradient(d);
    args.rows = static_cast<Index>(scratch.left_rows.size());
    if (args.rows == 0) return;
    args.a = scratch.left_rows.data();
    args.out = scratch.out.data();
    d.call.kernels.linear(args);
}

// What follows from a step block's gate gradients; dx of those of its steps that have none yet.
template <class T>
void finish_step_block(const DirectionBackward<T>& d, Index step_block, const std::vector<StepRange>& without_dx,
                       const ThreadShare& share, ThreadScratch<T>& scratch, const Team& team) {
    if (step_block + 1 == d.step_blocks.count())
        initial_state_gradient(d, scratch, part_of(d.schedule.rows(), team.index, team.size));
    if (d.call.dx)
        for (const StepRange& steps : without_dx)
            if (steps.begin < steps.end) take_input_gradient(d, steps, share, scratch, team);
    WeightGradient<T>(d, step_block, team, scratch).run();
}

template <class T>
void reserve_gradients(const LayerBackward<T>& call, const StepBlocks& step_blocks, Workspace<T>& workspace) {
    const NetworkSpec& spec = call.spec;
    const CellTraits& traits = spec.traits();
    const Index rows = step_blocks.capacity(), batch = call.schedule.batch();
    for (Index direction = 0; direction < spec.directions(); ++direction) {
        if (!traits.replaces_saved())
            workspace.dgates[direction].reserve(rows * traits.gate_gradients * spec.hidden_size);
        workspace.dh_carry[direction].reserve(batch * spec.recurrent_size());
        if (spec.proj_size) workspace.dh_proj[direction].reserve(rows * spec.proj_size);
        if (traits.has_cell_state) workspace.dc_carry[direction].reserve(batch * spec.hidden_size);
    }
}

// Rows that never took a step hand their state's gradient through.
template <class T>
void pass_state_gradients(const LayerBackward<T>& call, Index direction) {
    const auto pass = [&](const T* from, Index width, T* to) {
        if (to) pass_empty_rows(call.schedule, width, from, to);
    };
    pass(call.dh_n[direction], call.spec.recurrent_size(), call.dh0[direction]);
    pass(call.dc_n[direction], call.spec.hidden_size, call.dc0[direction]);
}

// The whole layer, by the threads that share it.
template <class T>
class LayerPass {
public:
    LayerPass(const LayerBackward<T>& call, const StepBlocks& step_blocks, Workspace<T>& workspace, const Split& split)
        : call_(call), step_blocks_(step_blocks), workspace_(workspace), split_(split) {
        for (Index direction = 0; direction < call.spec.directions(); ++direction) {
            directions_.emplace_back(call, step_blocks, workspace, direction);
            spans_.push_back(call.schedule.spans(call.spec.runs_in_reverse(direction), call.truncate));
            load_carries(directions_.back());
        }
    }

    void run() {
        if (split_.by == SplitBy::units)
            run_in_step();
        else if (split_.by == SplitBy::directions)
            run_directions_at_once();
        else
            run_in_shares();
        for (const DirectionBackward<T>& d : directions_) keep_leftover(d);
    }

private:
    ThreadScratch<T>& scratch(const Team& team) { return workspace_.threads[static_cast<std::size_t>(team.slot)]; }
    const std::vector<StepRange>& spans(const DirectionBackward<T>& d) const {
        return spans_[static_cast<std::size_t>(d.direction)];
    }
    Reached back_through_time(const DirectionBackward<T>& d, StepRange steps, const ThreadShare& share,
                              const Team& team) {
        return BackThroughTime<T>(d, share, scratch(team), team).run(spans(d), steps);
    }
    void finish(const DirectionBackward<T>& d, Index step_block, const std::vector<StepRange>& without_dx,
                const Team& team) {
        finish_step_block(d, step_block, without_dx, share_of<T>(call_.spec, split_.by, team), scratch(team), team);
    }

    // Rows of their own for every thread. A thread goes on to the next step block's steps once it has finished its part
    // of this one: in the phase of a step block its steps, after what follows from the step block before.
    void run_in_shares() {
        struct StepBlockOf {
            const DirectionBackward<T>* direction;
            Index step_block;
        };
        std::vector<StepBlockOf> all;
        for (const DirectionBackward<T>& d : directions_)
            for (Index step_block = 0; step_block < step_blocks_.count(); ++step_block) all.push_back({&d, step_block});
        const int phases = static_cast<int>(all.size()) + 1;
        std::vector<Index> dx_end(static_cast<std::size_t>(split_.threads));  // of each part's last step block
        auto body = [&](int phase, const Team& team) {
            const ThreadShare share = share_of<T>(call_.spec, SplitBy::rows, team);
            Index& taken = dx_end[static_cast<std::size_t>(team.index)];
            if (phase > 0) {
                const StepBlockOf before = all[static_cast<std::size_t>(phase - 1)];
                finish(*before.direction, before.step_block, {{step_blocks_.steps(before.step_block).begin, taken}},
                       team);
            }
            if (phase + 1 == phases || team.ends()) return;
            const StepBlockOf now = all[static_cast<std::size_t>(phase)];
            taken = back_through_time(*now.direction, step_blocks_.steps(now.step_block), share, team).dx_end;
        };
        for_shares({split_.threads, phases}, split_.threads, body);
    }

    // Both directions at once, in one step block; then what follows from the first, then from the second, which adds to
    // its dx.
    void run_directions_at_once() {
        auto body = [&](int phase, const Team& team) {
            const StepRange all = step_blocks_.steps(0);
            if (phase == 0)
                back_through_time(directions_[static_cast<std::size_t>(team.index)], all,
                                  share_of<T>(call_.spec, split_.by, team), team);
            else
                finish(directions_[static_cast<std::size_t>(phase - 1)], 0, {all}, team);
        };
        for_shares({split_.threads, 1 + static_cast<int>(directions_.size())}, split_.threads, body);
    }

    // Units of their own for every thread: all step together, with as many threads as are there.
    void run_in_step() {
        for (const DirectionBackward<T>& d : directions_)
            for (Index step_block = 0; step_block < step_blocks_.count(); ++step_block) {
                std::vector<StepRange> without_dx;
                const StepRange steps = step_blocks_.steps(step_block);
                for (Index end = steps.end; end > steps.begin;)
                    end = run_with_one_team(d, {steps.begin, end}, without_dx);
                auto body = [&](int, const Team& team) { finish(d, step_block, without_dx, team); };
                for_shares({split_.threads}, split_.threads, body);
            }
    }

    // With one team; returns how far it came.
    Index run_with_one_team(const DirectionBackward<T>& d, StepRange steps, std::vector<StepRange>& without_dx) {
        Reached reached = {};
        auto body = [&](const Team& team) {
            const Reached came_to = back_through_time(d, steps, share_of<T>(call_.spec, SplitBy::units, team), team);
            if (team.index == 0) reached = came_to;
        };
        const double step = time_of_step<T>(call_.spec, 0, call_.schedule.rows());
        const double left = step * static_cast<double>(steps.end - steps.begin);
        in_step({static_cast<Nanoseconds>(left), static_cast<Nanoseconds>(step)}, split_.threads, body);
        without_dx.push_back({reached.begin, reached.dx_end});
        return reached.begin;
    }

    const LayerBackward<T>& call_;
    const StepBlocks& step_blocks_;
    Workspace<T>& workspace_;
    const Split split_;
    std::vector<DirectionBackward<T>> directions_;
    std::vector<std::vector<StepRange>> spans_;
};

}  // namespace

template <class T>
void layer_backward(const LayerBackward<T>& call, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = call.spec;
    const Schedule& schedule = call.schedule;
    const Split split = choose_split<T>(spec, call.input_size, schedule.rows(), schedule.steps(), threads);
    // Directions that go at once take all steps as one step block: the second adds to the first one's dx.
    const Index step_block =
        split.by == SplitBy::directions ? schedule.total() : min_step_block<T>(spec, schedule.batch());
    const StepBlocks step_blocks(schedule, step_block);
    reserve_gradients(call, step_blocks, workspace);
    for (Index direction = 0; direction < spec.directions(); ++direction) pass_state_gradients(call, direction);
    if (schedule.total() == 0) return;
    workspace.prepare(split.threads, std::max(spec.recurrent_size(), spec.traits().gates * spec.hidden_size));
    LayerPass<T>(call, step_blocks, workspace, split).run();
}

template void layer_backward(const LayerBackward<float>&, Workspace<float>&, int);
template void layer_backward(const LayerBackward<double>&, Workspace<double>&, int);

}  // namespace fusedrnn
