// One layer forward: decides when input products are computed ahead, and calls the kernels span by span.
#include <algorithm>

#include "fusedrnn/interrupt.hpp"
#include "rnn/layer/layer.hpp"
#include "rnn/plan/overlap.hpp"
#include "rnn/plan/split.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {
namespace {

// One thread's walk through one direction of a layer.
template <class T>
class DirectionForward {
public:
    DirectionForward(const LayerForward<T>& call, Index direction, const ThreadShare& share, const Team& team,
                     Workspace<T>& workspace)
        : call_(call), spec_(call.spec), schedule_(call.schedule), direction_(direction),
          reverse_(spec_.runs_in_reverse(direction)), share_(share), team_(team), workspace_(workspace),
          scratch_(workspace.threads[static_cast<std::size_t>(team.slot)]), kernels_(call.kernels),
          weights_(*call.weights[direction]), tape_(call.tape[direction]) {}

    // The steps from `from` on. Returns where it ended: after the last one, or before it where the team ends.
    Index run(Index from) {
        group_ = {from, from};
        Index rows_to_come = 0;
        for (const StepRange& span : schedule_.spans(reverse_))
            rows_to_come += rows_at(span.begin) * std::max<Index>(0, span.end - std::max(span.begin, from));
        for (const StepRange& span : schedule_.spans(reverse_))
            for (Index step = std::max(span.begin, from); step < span.end;) {
                if (rows_at(step) == 0) return schedule_.steps();  // rows only ever end
                if (step == group_.end) next_group(span, rows_to_come);
                const StepRange range = {step,
                                         std::min({span.end, group_.end, step + max_steps_at_once(rows_at(step))})};
                check_interrupt();
                const Index taken = chunk(range);
                step += taken;
                if (team_.ends()) return step;
                if (call_.progress) call_.progress->reach(step);
                rows_to_come -= taken * rows_at(range.begin);
            }
        return schedule_.steps();
    }

private:
    using Row = ForwardRow<T>;

    // The steps from group_.end on whose input products are computed at once, or the rest of the span if that gains
    // nothing. A product of many input rows runs at the speed of the FMA units and reads W_ih once; but what it finds
    // has to be stored between. All groups are about as long; in a wavefront they are short, so that the next layer may
    // follow.
    void next_group(const StepRange& span, Index rows_to_come) {
        if (overlapped_out_ || overlaps(rows_to_come)) return next_overlapped_group(rows_to_come);
        const Index rows_worth_projecting = call_.progress ? 12 : 48;
        constexpr Index projected_bytes = 1 << 20;
        const Index begin = group_.end, rows = rows_at(begin);
        const Index max_rows =
            std::min(rows_worth_projecting, projected_bytes / (projected_width() * static_cast<Index>(sizeof(T))));
        const Index groups = ceil_div(rows_to_come, std::max<Index>(max_rows, 1));
        const Index enough = ceil_div(rows_to_come, groups);
        Index end = begin, count = 0;
        while (end < schedule_.steps() && count < enough) count += rows_at(end++);
        const Index rest = call_.progress ? std::min(end, span.end) : span.end;
        if (call_.below) call_.below->wait_for(std::max(end, rest));
        if (end - begin > 1 && (low_tiles(rows) || saves_reading(end - begin, count))) {
            group_ = {begin, end};
            projected_ = project(group_, count, scratch_.projected.reserve(count * projected_width()));
        } else {
            group_ = {begin, rest};
            projected_ = nullptr;
        }
    }

    // As long as all weights stay in an L3 cache, beside what others keep there.
    bool overlaps(Index steps_to_come) const {
        constexpr Index max_bytes = 12 << 20;
        return kernels_.overlaps_products && rows_at(group_.end) == 1 && !call_.progress &&
               worth_overlapping<T>(spec_, call_.input_size, share_, steps_to_come, max_bytes);
    }

    // As long as a tile, but the first one, which leaves whole tiles to the others. Two places by turns: for the
    // products that are read, and for those that are computed meanwhile.
    void next_overlapped_group(Index steps_to_come) {
        constexpr Index tile = OverlappedProduct<T>::rows;
        const Index width = projected_width(), place = 2 * tile * width;
        const bool first = !overlapped_out_;
        T* const now = first ? scratch_.projected.reserve(2 * place) : overlapped_out_;
        const Index steps = first ? tile + steps_to_come % tile : tile;
        group_ = {group_.end, group_.end + steps};
        projected_ = first ? project(group_, steps, now) : now;
        overlapped_out_ = now == scratch_.projected.data() ? now + place : scratch_.projected.data();
        overlapped_.x = steps < steps_to_come ? call_.x.at(time(group_.end, 0), batch_index(0)) : nullptr;
        overlapped_.x_stride = x_stride();
        overlapped_.out = overlapped_out_;
        overlapped_.out_stride = width;
        overlapped_.column = overlapped_.chain = overlapped_.k = 0;
    }

    // The step's own tiles would be too low for the FMA units, and the input has columns enough for that to outweigh
    // the storing (measured).
    bool low_tiles(Index rows) const {
        const Index lowest_tile = rows / ceil_div(rows, kernels_.tile_rows);
        const Index columns = rows > 1 ? 16 : stays_nearest() ? kernels_.columns_while_waiting : 6;
        return lowest_tile < kernels_.enough_rows && call_.input_size > columns;
    }

    // All weights stay in an L1 cache, with room for the rest.
    bool stays_nearest() const {
        constexpr Index nearest_bytes = 20 << 10;
        return weight_bytes() <= nearest_bytes;
    }

    // Weights that do not stay in an L2 cache: for every unit of every gate, the columns of W_ih that `steps` steps
    // together read less, against the sums of `rows` rows to store and to load again, each of which costs as much as
    // six columns (measured).
    bool saves_reading(Index steps, Index rows) const {
        constexpr Index cost_of_storing = 6;
        return weight_bytes() >= l2_bytes && call_.input_size * (steps - 1) > cost_of_storing * rows;
    }

    // Of the thread's units.
    Index weight_bytes() const {
        const Index units = (share_.block_end - share_.block_begin) * unit_block<T>;
        return fusedrnn::weight_bytes<T>(spec_, call_.input_size, units);
    }

    Index projected_width() const { return padded_units<T>(spec_.hidden_size) * spec_.traits().gates; }
    Index rows_at(Index step) const { return share_.rows(schedule_.active(step)); }
    Index batch_index(Index i) const { return schedule_.batch_row(share_.row(i)); }
    Index time(Index step, Index i) const { return schedule_.time(reverse_, step, share_.row(i)); }
    bool reset(Index step, Index i) const { return schedule_.reset(reverse_, step, share_.row(i)); }
    Index x_stride() const { return reverse_ ? -call_.x.time_stride : call_.x.time_stride; }
    const T* zeros() const { return workspace_.zeros.data(); }
    T* y(Index step, Index i) const {
        return call_.y.at(time(step, i), batch_index(i)) + direction_ * spec_.recurrent_size();
    }

    const T* h_before(Index step, Index i) const {
        if (reset(step, i)) return zeros();
        if (step > 0) return y(step - 1, i);
        const T* h0 = call_.h0[direction_];
        return h0 ? h0 + batch_index(i) * spec_.recurrent_size() : zeros();
    }

    T* unprojected_without_tape(Index i) const {
        return workspace_.unprojected.data() + (direction_ * schedule_.batch() + batch_index(i)) * spec_.hidden_size;
    }

    T* c_at(Index step, Index i) const {
        if (!spec_.traits().has_cell_state) return nullptr;
        if (tape_) return tape_->c.data() + schedule_.packed(step, share_.row(i)) * spec_.hidden_size;
        if (call_.cell_states)
            return call_.cell_states.at(time(step, i), batch_index(i)) + direction_ * spec_.hidden_size;
        return call_.c_n[direction_] + batch_index(i) * spec_.hidden_size;
    }

    const T* c_before(Index step, Index i) const {
        if (!spec_.traits().has_cell_state) return nullptr;
        if (reset(step, i)) return zeros();
        if (step > 0) return c_at(step - 1, i);
        const T* c0 = call_.c0[direction_];
        return c0 ? c0 + batch_index(i) * spec_.hidden_size : zeros();
    }

    Row row_at(Index step, Index i) const {
        Row row = {};
        const Index packed = schedule_.packed(step, share_.row(i));
        row.x = call_.x.at(time(step, i), batch_index(i));
        row.h_prev = h_before(step, i);
        row.c_prev = c_before(step, i);
        row.h = row.unprojected = y(step, i);
        if (spec_.proj_size)
            row.unprojected =
                tape_ ? tape_->unprojected.data() + packed * spec_.hidden_size : unprojected_without_tape(i);
        row.c = c_at(step, i);
        if (tape_ && spec_.traits().saved)
            row.saved = tape_->saved.data() + packed * spec_.traits().saved * spec_.hidden_size;
        return row;
    }

    ForwardStrides<T> strides(Index active) const {
        const Index sign = reverse_ ? -1 : 1, hidden = spec_.hidden_size;
        ForwardStrides<T> stride = {};
        stride.x = x_stride();
        stride.h = stride.unprojected = sign * call_.y.time_stride;
        if (spec_.proj_size) stride.unprojected = tape_ ? active * hidden : 0;
        if (spec_.traits().has_cell_state)
            stride.c = tape_ ? active * hidden : call_.cell_states ? sign * call_.cell_states.time_stride : 0;
        if (tape_) stride.saved = active * spec_.traits().saved * hidden;
        return stride;
    }

    // A long sequence is left now and then, to see whether it is cancelled.
    Index max_steps_at_once(Index rows) const {
        constexpr double looks_every = 10e6;  // ns
        return 1 + static_cast<Index>(looks_every / time_of_step<T>(spec_, call_.input_size, rows));
    }

    // Returns how many of the steps were taken: all, unless the team ends.
    Index chunk(StepRange range) {
        const Index rows = rows_at(range.begin);
        scratch_.forward_rows.resize(static_cast<std::size_t>(rows));
        for (Index i = 0; i < rows; ++i) scratch_.forward_rows[static_cast<std::size_t>(i)] = row_at(range.begin, i);
        ForwardSpan<T> span = {};
        span.steps = range.end - range.begin;
        span.rows = rows;
        span.row = scratch_.forward_rows.data();
        span.stride = strides(schedule_.active(range.begin));
        span.input_projected = projected_ != nullptr;
        if (projected_) take_projected(span);
        span.input_size = call_.input_size;
        span.hidden_size = spec_.hidden_size;
        span.proj_size = spec_.proj_size;
        span.nonlinearity = spec_.nonlinearity;
        span.bias = weights_.bias.data();
        span.w_ih = weights_.w_ih.data();
        span.w_hh = weights_.w_hh.data();
        span.w_hr = spec_.proj_size ? weights_.w_hr.data() : nullptr;
        span.block_begin = share_.block_begin;
        span.block_end = share_.block_end;
        span.proj_begin = share_.proj_begin;
        span.proj_end = share_.proj_end;
        span.barrier = share_.barrier;
        span.overlapped = overlapped_.x ? &overlapped_ : nullptr;
        span.completes_overlapped = range.end == group_.end;
        return kernels_.forward[static_cast<int>(spec_.cell)](span);
    }

    // The input products of all rows of the steps, `count` altogether: [step][row][gate and unit].
    const T* project(StepRange steps, Index count, T* to) {
        scratch_.left_rows.resize(static_cast<std::size_t>(count));
        const T** left = scratch_.left_rows.data();
        Index rows = rows_at(steps.begin);
        for (Index i = 0; i < rows; ++i) left[i] = call_.x.at(time(steps.begin, i), batch_index(i));
        for (Index step = steps.begin + 1; step < steps.end; ++step) {
            const T** const before = left;
            left += rows;
            rows = rows_at(step);  // the first ones of those before
            for (Index i = 0; i < rows; ++i) left[i] = before[i] + x_stride();
        }
        ProjectArgs<T> args = {};
        args.rows = count;
        args.x = scratch_.left_rows.data();
        args.out = to;
        args.out_stride = projected_width();
        args.input_size = call_.input_size;
        args.hidden_size = spec_.hidden_size;
        args.bias = weights_.bias.data();
        args.w_ih = weights_.w_ih.data();
        args.block_begin = share_.block_begin;
        args.block_end = share_.block_end;
        kernels_.project[static_cast<int>(spec_.cell)](args);
        return to;
    }

    // The span's rows read the group's next input products in place of x.
    void take_projected(ForwardSpan<T>& span) {
        const Index width = projected_width();
        for (Index i = 0; i < span.rows; ++i) span.row[i].x = projected_ + i * width;
        span.stride.x = span.rows * width;
        projected_ += span.steps * span.stride.x;
    }

    const LayerForward<T>& call_;
    const NetworkSpec& spec_;
    const Schedule& schedule_;
    const Index direction_;
    const bool reverse_;
    const ThreadShare& share_;
    const Team& team_;
    Workspace<T>& workspace_;
    ThreadScratch<T>& scratch_;
    const Kernels<T>& kernels_;
    const PackedLayer<T>& weights_;
    DirectionTape<T>* const tape_;
    StepRange group_ = {0, 0};
    const T* projected_ = nullptr;          // what is left of the group's input products, if it has them
    OverlappedProduct<T> overlapped_ = {};  // those of the next group, computed meanwhile
    T* overlapped_out_ = nullptr;           // where those are; null before there are any
};

}  // namespace

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
