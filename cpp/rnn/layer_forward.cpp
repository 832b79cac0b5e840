#include <algorithm>

#include "rnn/layer.hpp"
#include "rnn/split.hpp"
#include "rnn/thread_share.hpp"

namespace fusedrnn {
namespace {

// One thread's walk through one direction of a layer.
template <class T>
class DirectionForward {
public:
    DirectionForward(const LayerForward<T>& call, Index direction, const ThreadShare& share, Workspace<T>& workspace,
                     ThreadScratch<T>& scratch)
        : call_(call), spec_(call.spec), schedule_(call.schedule), direction_(direction),
          backwards_(spec_.runs_backwards(direction)), share_(share), workspace_(workspace), scratch_(scratch),
          kernels_(call.kernels), weights_(*call.weights[direction]),
          tape_(call.tape[direction]) {}

    void run() {
        for (const StepRange& span : schedule_.spans(backwards_)) {
            const Index rows = share_.rows(schedule_.active(span.begin));
            if (rows == 0) break;  // rows only ever end
            const Index steps = steps_at_once(rows, span.end - span.begin);
            for (Index s = span.begin; s < span.end; s += steps)
                chunk({s, std::min(s + steps, span.end)}, rows, projects_);
        }
    }

private:
    using Row = ForwardRow<T>;

    // How many steps one kernel call takes. A product of many input rows at once runs at the speed of the FMA units;
    // the step's own tiles do so too when they are high enough, and then nothing has to be stored between.
    Index steps_at_once(Index rows, Index steps) {
        constexpr Index rows_worth_projecting = 48;
        constexpr Index projected_bytes = 1 << 20;
        projects_ = false;
        const Index lowest_tile = rows / ceil_div(rows, kernels_.tile_rows);
        if (3 * lowest_tile >= 2 * kernels_.tile_rows) return steps;
        const Index width = projected_width() * static_cast<Index>(sizeof(T));
        const Index most = std::max<Index>(1, std::min(ceil_div(rows_worth_projecting, rows),
                                                       projected_bytes / (width * rows)));
        const Index at_once = ceil_div(steps, ceil_div(steps, most));  // all as long
        projects_ = at_once > 1;
        return projects_ ? at_once : steps;
    }

    Index projected_width() const { return padded_units<T>(spec_.hidden_size) * spec_.traits().gates; }
    Index batch(Index i) const { return schedule_.batch_row(share_.row(i)); }
    Index time(Index step, Index i) const { return schedule_.time(backwards_, step, share_.row(i)); }
    bool reset(Index step, Index i) const { return schedule_.reset(backwards_, step, share_.row(i)); }
    const T* zeros() const { return workspace_.zeros.data(); }
    T* y(Index step, Index i) const {
        return call_.y.at(time(step, i), batch(i)) + direction_ * spec_.recurrent_size();
    }

    const T* h_before(Index step, Index i) const {
        if (reset(step, i)) return zeros();
        if (step > 0) return y(step - 1, i);
        const T* h0 = call_.h0[direction_];
        return h0 ? h0 + batch(i) * spec_.recurrent_size() : zeros();
    }

    T* units_in_passing(Index i) const {
        return workspace_.units.data() + (direction_ * schedule_.batch() + batch(i)) * spec_.hidden_size;
    }

    T* c_at(Index step, Index i) const {
        if (!spec_.traits().has_cell) return nullptr;
        if (tape_) return tape_->c.data() + schedule_.packed(step, share_.row(i)) * spec_.hidden_size;
        if (call_.cells) return call_.cells.at(time(step, i), batch(i)) + direction_ * spec_.hidden_size;
        return call_.c_n[direction_] + batch(i) * spec_.hidden_size;
    }

    const T* c_before(Index step, Index i) const {
        if (!spec_.traits().has_cell) return nullptr;
        if (reset(step, i)) return zeros();
        if (step > 0) return c_at(step - 1, i);
        const T* c0 = call_.c0[direction_];
        return c0 ? c0 + batch(i) * spec_.hidden_size : zeros();
    }

    Row row_at(Index step, Index i) const {
        Row row = {};
        const Index packed = schedule_.packed(step, share_.row(i));
        row.x = call_.x.at(time(step, i), batch(i));
        row.h_prev = h_before(step, i);
        row.c_prev = c_before(step, i);
        row.h = row.units = y(step, i);
        if (spec_.proj_size)
            row.units = tape_ ? tape_->units.data() + packed * spec_.hidden_size : units_in_passing(i);
        row.c = c_at(step, i);
        if (tape_ && spec_.traits().saved)
            row.saved = tape_->saved.data() + packed * spec_.traits().saved * spec_.hidden_size;
        return row;
    }

    ForwardStrides<T> strides(Index active) const {
        const Index sign = backwards_ ? -1 : 1, hidden = spec_.hidden_size;
        ForwardStrides<T> stride = {};
        stride.x = sign * call_.x.time_stride;
        stride.h = stride.units = sign * call_.y.time_stride;
        if (spec_.proj_size) stride.units = tape_ ? active * hidden : 0;
        if (spec_.traits().has_cell)
            stride.c = tape_ ? active * hidden : call_.cells ? sign * call_.cells.time_stride : 0;
        if (tape_) stride.saved = active * spec_.traits().saved * hidden;
        return stride;
    }

    void chunk(StepRange range, Index rows, bool projected) {
        scratch_.forward_rows.resize(static_cast<std::size_t>(rows));
        for (Index i = 0; i < rows; ++i) scratch_.forward_rows[static_cast<std::size_t>(i)] = row_at(range.begin, i);
        ForwardSpan<T> span = {};
        span.steps = range.end - range.begin;
        span.rows = rows;
        span.row = scratch_.forward_rows.data();
        span.stride = strides(schedule_.active(range.begin));
        if (projected) project(span);
        span.input_projected = projected;
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
        kernels_.forward[static_cast<int>(spec_.cell)](span);
    }

    // The input products of all the span's steps; the rows' x then point at them.
    void project(ForwardSpan<T>& span) {
        const Index width = projected_width(), count = span.steps * span.rows;
        T* to = scratch_.projected.reserve(count * width);
        scratch_.left.resize(static_cast<std::size_t>(count));
        for (Index s = 0, at = 0; s < span.steps; ++s)
            for (Index i = 0; i < span.rows; ++i, ++at)
                scratch_.left[static_cast<std::size_t>(at)] = span.row[i].x + s * span.stride.x;
        ProjectArgs<T> args = {};
        args.rows = count;
        args.x = scratch_.left.data();
        args.out = to;
        args.out_stride = width;
        args.input_size = call_.input_size;
        args.hidden_size = spec_.hidden_size;
        args.bias = weights_.bias.data();
        args.w_ih = weights_.w_ih.data();
        args.block_begin = share_.block_begin;
        args.block_end = share_.block_end;
        kernels_.project[static_cast<int>(spec_.cell)](args);
        for (Index i = 0; i < span.rows; ++i) span.row[i].x = to + i * width;
        span.stride.x = span.rows * width;
    }

    const LayerForward<T>& call_;
    const NetworkSpec& spec_;
    const Schedule& schedule_;
    const Index direction_;
    const bool backwards_;
    const ThreadShare& share_;
    Workspace<T>& workspace_;
    ThreadScratch<T>& scratch_;
    const Kernels<T>& kernels_;
    const PackedLayer<T>& weights_;
    DirectionTape<T>* const tape_;
    bool projects_ = false;
};

}  // namespace

template <class T>
void layer_forward(const LayerForward<T>& call, Workspace<T>& workspace, int threads) {
    const NetworkSpec& spec = call.spec;
    const Split split = choose_split(spec, call.input_size, call.schedule.rows(), call.schedule.steps(), threads,
                                     sizeof(T));
    workspace.prepare(split.threads, std::max(spec.hidden_size, spec.recurrent_size()));
    if (spec.proj_size) workspace.units.reserve(spec.directions() * call.schedule.batch() * spec.hidden_size);
    auto body = [&](const Team& team) {
        const ThreadShare share = share_of<T>(spec, split.by, team);
        for (Index direction = 0; direction < spec.directions(); ++direction)
            if (share.takes(direction))
                DirectionForward<T>(call, direction, share, workspace,
                                    workspace.threads[static_cast<std::size_t>(team.index)])
                    .run();
    };
    parallel(split.threads, body);
}

template void layer_forward(const LayerForward<float>&, Workspace<float>&, int);
template void layer_forward(const LayerForward<double>&, Workspace<double>&, int);

}  // namespace fusedrnn
