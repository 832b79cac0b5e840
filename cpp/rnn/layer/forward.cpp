// One layer forward: calls the kernels span by span, with the threads that share the layer.
#include "rnn/layer/forward.hpp"

#include <algorithm>

#include "fusedrnn/interrupt.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "rnn/plan/projection.hpp"
#include "rnn/plan/split.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {
namespace {

// One thread's pass through one direction of a layer. Rows [0, rows_at(step)) are the thread's.
template <class T>
class DirectionForward {
public:
    DirectionForward(const LayerForward<T>& call, Index direction, const ThreadShare& share, const Team& team,
                     Workspace<T>& workspace)
        : call_(call), spec_(call.spec), schedule_(call.schedule),
          view_(direction_view(call, direction, workspace.zeros.data())), share_(share), team_(team),
          workspace_(workspace), scratch_(workspace.threads[static_cast<std::size_t>(team.slot)]),
          weights_(*call.weights[direction]), tape_(call.tape[direction]),
          plan_(spec_, call.input_size, schedule_, share, call.kernels, call.progress != nullptr,
                static_cast<bool>(call.tokens)) {}

    // The steps from `from` on. Returns where it ended: after the last one, or before it where the team ends.
    Index run(Index from) {
        group_.steps = {from, from};
        Index row_steps_left = 0;
        for (const StepRange& span : schedule_.spans(view_.reverse))
            row_steps_left += rows_at(span.begin) * std::max<Index>(0, span.end - std::max(span.begin, from));
        for (const StepRange& span : schedule_.spans(view_.reverse))
            for (Index step = std::max(span.begin, from); step < span.end;) {
                const Index rows = rows_at(step);
                if (rows == 0) return schedule_.steps();  // rows only ever end
                if (step == group_.steps.end) next_group(span, row_steps_left);
                const Index most = step + max_steps_between_checks<T>(spec_, call_.input_size, rows);
                check_interrupt();
                const Index taken = run_span({step, std::min({span.end, group_.steps.end, most})});
                step += taken;
                if (team_.ends()) return step;
                if (call_.progress) call_.progress->reach(step);
                row_steps_left -= taken * rows;
            }
        return schedule_.steps();
    }

private:
    void next_group(const StepRange& span, Index row_steps_left) {
        group_ = plan_.next(group_.steps.end, span, row_steps_left);
        if (call_.below) call_.below->wait_for(group_.steps.end);
        switch (group_.input_product) {
            case InputProduct::in_step:
                projected_ = nullptr;
                break;
            case InputProduct::ahead:
                projected_ = project(scratch_.projected.reserve(group_.row_steps * projected_width<T>(spec_)));
                break;
            case InputProduct::overlapped:
                next_overlapped_group(row_steps_left);
                break;
        }
    }

    // Two places by turns: for the products that are read, and for those of the next group, which are computed
    // meanwhile.
    void next_overlapped_group(Index steps_left) {
        const Index width = projected_width<T>(spec_), place = max_overlapped_group<T> * width;
        const bool first = !overlapped_out_;
        T* const now = first ? scratch_.projected.reserve(2 * place) : overlapped_out_;
        projected_ = first ? project(now) : now;
        overlapped_out_ = now == scratch_.projected.data() ? now + place : scratch_.projected.data();
        const bool last = group_.row_steps == steps_left;
        begin_overlapped<T>(overlapped_, last ? nullptr : view_.x_at(group_.steps.end, share_.row(0)), view_.x_stride(),
                            overlapped_out_, width);
    }

    Index rows_at(Index step) const { return share_.rows(schedule_.active(step)); }

    ForwardRow<T> row_at(Index step, Index row) const {
        const Index packed = schedule_.row_step(step, row), hidden = spec_.hidden_size;
        T* const h = view_.h(step, row);
        return {
            .x = view_.x_at(step, row),
            .h_prev = view_.h_before(step, row),
            .c_prev = view_.c_before(step, row),
            .unprojected = !spec_.proj_size ? h
                           : tape_          ? tape_->unprojected.data() + packed * hidden
                                            : unprojected_without_tape(row),
            .h = h,
            .c = view_.c(step, row),
            .saved =
                tape_ && spec_.traits().saved ? tape_->saved.data() + packed * spec_.traits().saved * hidden : nullptr,
        };
    }

    T* unprojected_without_tape(Index row) const {
        const Index place = view_.direction * schedule_.batch() + view_.batch_index(row);
        return workspace_.unprojected.data() + place * spec_.hidden_size;
    }

    ForwardStrides<T> strides(Index active) const {
        const Index hidden = spec_.hidden_size;
        return {
            .x = view_.x_stride(),
            .unprojected = !spec_.proj_size ? view_.h_stride()
                           : tape_          ? active * hidden
                                            : 0,
            .h = view_.h_stride(),
            .c = view_.c_stride(active),
            .saved = tape_ ? active * spec_.traits().saved * hidden : 0,
        };
    }

    // Returns how many of the steps were taken: all, unless the team ends.
    Index run_span(StepRange range) {
        std::vector<ForwardRow<T>>& rows = scratch_.forward_rows;
        rows.resize(static_cast<std::size_t>(rows_at(range.begin)));
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = row_at(range.begin, share_.row(static_cast<Index>(i)));
        ForwardSpan<T> span = forward_span(spec_, call_.input_size, weights_, share_, range.end - range.begin, rows,
                                           strides(schedule_.active(range.begin)));
        if (projected_) take_projected(span);
        if (overlapped_.x) {
            span.overlapped = &overlapped_;
            span.completes_overlapped = range.end == group_.steps.end;
        }
        return call_.kernels.forward[static_cast<int>(spec_.cell)](span);
    }

    // The input products of the group: [step][row][gate and unit].
    const T* project(T* to) {
        if (call_.tokens) return copy_token_sums(to);
        const StepRange steps = group_.steps;
        scratch_.left_rows.resize(static_cast<std::size_t>(group_.row_steps));
        const T** left = scratch_.left_rows.data();
        Index rows = rows_at(steps.begin);
        for (Index i = 0; i < rows; ++i) left[i] = view_.x_at(steps.begin, share_.row(i));
        for (Index step = steps.begin + 1; step < steps.end; ++step) {
            const T** const before = left;
            left += rows;
            rows = rows_at(step);  // the first ones of those before
            for (Index i = 0; i < rows; ++i) left[i] = before[i] + view_.x_stride();
        }
        call_.kernels.project[static_cast<int>(spec_.cell)]({
            .rows = group_.row_steps,
            .x = scratch_.left_rows.data(),
            .out = to,
            .out_stride = projected_width<T>(spec_),
            .input_size = call_.input_size,
            .hidden_size = spec_.hidden_size,
            .bias = weights_.bias.data(),
            .w_ih = weights_.w_ih.data(),
            .block_begin = share_.block_begin,
            .block_end = share_.block_end,
        });
        return to;
    }

    // The same where the input is tokens, whose products are there: those of this thread's units.
    const T* copy_token_sums(T* to) const {
        const Index width = projected_width<T>(spec_), per_block = unit_block<T> * spec_.traits().gates;
        const Index begin = share_.block_begin * per_block, count = share_.block_end * per_block - begin;
        T* out = to;
        for (Index step = group_.steps.begin; step < group_.steps.end; ++step)
            for (Index i = 0; i < rows_at(step); ++i, out += width) {
                const Index row = share_.row(i);
                const std::int64_t token = *call_.tokens.at(view_.time(step, row), view_.batch_index(row));
                std::copy_n(call_.token_sums[view_.direction] + token * width + begin, count, out + begin);
            }
        return to;
    }

    // The span's rows read the group's next input products in place of x.
    void take_projected(ForwardSpan<T>& span) {
        const Index width = projected_width<T>(spec_);
        span.input_projected = true;
        for (Index i = 0; i < span.rows; ++i) span.row[i].x = projected_ + i * width;
        span.stride.x = span.rows * width;
        projected_ += span.steps * span.stride.x;
    }

    const LayerForward<T>& call_;
    const NetworkSpec& spec_;
    const Schedule& schedule_;
    const DirectionView<T> view_;
    const ThreadShare& share_;
    const Team& team_;
    Workspace<T>& workspace_;
    ThreadScratch<T>& scratch_;
    const PackedLayer<T>& weights_;
    DirectionTape<T>* const tape_;
    ProjectionPlan<T> plan_;
    StepGroup group_ = {};
    const T* projected_ = nullptr;          // what is left of the group's input products, if it has them
    OverlappedProduct<T> overlapped_ = {};  // those of the next group, computed meanwhile
    T* overlapped_out_ = nullptr;           // where those are; null before there are any
};

// Rows or directions of their own for every thread.
template <class T>
void forward_in_shares(const LayerForward<T>& call, const Split& split, Workspace<T>& workspace) {
    auto body = [&](int, const Team& team) {
        const ThreadShare share = share_of<T>(call.spec, split.by, team);
        for (Index direction = 0; direction < call.spec.directions(); ++direction)
            if (share.takes(direction)) DirectionForward<T>(call, direction, share, team, workspace).run(0);
    };
    for_shares({split.threads}, split.threads, body);
}

// Units of their own for every thread: all step together, with as many threads as are there.
template <class T>
void forward_in_step(const LayerForward<T>& call, const Split& split, Workspace<T>& workspace) {
    const Index rows = call.schedule.rows();
    const double step = time_of_step<T>(call.spec, call.input_size, rows);
    for (Index direction = 0; direction < call.spec.directions(); ++direction)
        for (Index begin = 0; begin < call.schedule.steps();) {
            Index end = begin;
            auto body = [&](const Team& team) {
                const ThreadShare share = share_of<T>(call.spec, SplitBy::units, team);
                const Index reached = DirectionForward<T>(call, direction, share, team, workspace).run(begin);
                if (team.index == 0) end = reached;
            };
            const double left = step * static_cast<double>(call.schedule.steps() - begin);
            in_step({static_cast<Nanoseconds>(left), static_cast<Nanoseconds>(step)}, split.threads, body);
            begin = end;
        }
}

}  // namespace

template <class T>
void layer_forward(const LayerForward<T>& call, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = call.spec;
    const Split split = choose_split<T>(spec, call.input_size, call.schedule.rows(), call.schedule.steps(), threads);
    workspace.prepare(split.threads, std::max(spec.hidden_size, spec.recurrent_size()));
    if (spec.proj_size) workspace.unprojected.reserve(spec.directions() * call.schedule.batch() * spec.hidden_size);
    if (split.by == SplitBy::units)
        forward_in_step(call, split, workspace);
    else
        forward_in_shares(call, split, workspace);
}

template <class T>
void wavefront_forward(std::vector<LayerForward<T>>& calls, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = calls.front().spec;
    workspace.prepare(threads, spec.hidden_size);
    std::vector<Progress> progress(calls.size());
    for (std::size_t l = 0; l < calls.size(); ++l) {
        calls[l].below = l ? &progress[l - 1] : nullptr;
        calls[l].progress = &progress[l];
    }
    // From the bottom: the layer that a thread waits for has been begun before its own.
    auto body = [&](int, const Team& team) {
        struct Leave {  // also where it throws
            Progress& progress;
            ~Leave() { progress.leave(); }
        } const leave{progress[static_cast<std::size_t>(team.index)]};
        const Team alone = {0, 1, team.slot, nullptr, team.cancelled_};
        const ThreadShare share = share_of<T>(spec, SplitBy::layers, alone);
        DirectionForward<T>(calls[static_cast<std::size_t>(team.index)], 0, share, alone, workspace).run(0);
    };
    for_shares({static_cast<int>(calls.size()), 1, true}, threads, body);
}

template void layer_forward(const LayerForward<float>&, Workspace<float>&, int);
template void layer_forward(const LayerForward<double>&, Workspace<double>&, int);
template void wavefront_forward(std::vector<LayerForward<float>>&, Workspace<float>&, int);
template void wavefront_forward(std::vector<LayerForward<double>>&, Workspace<double>&, int);

}  // namespace fusedrnn
