// Decides how a layer is shared between threads, and between how many: rows, units, directions or whole layers.
#include "rnn/plan/split.hpp"

#include <algorithm>

#include "dispatch/dispatch.hpp"
#include "kernels/kernel_table.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

// Rows below which a register tile is too thin to run at full speed.
constexpr Index rows_of_a_full_tile = 4;
// Row-steps below which the upper layers of a wavefront would stand idle too long.
constexpr Index worth_a_wavefront = 48;

// Multiply-adds of one direction of a layer with `input` values.
double work_of_step(const NetworkSpec& spec, Index input, Index rows) {
    return static_cast<double>(spec.traits().gates * spec.hidden_size) *
           static_cast<double>((spec.recurrent_size() + input) * rows);
}

// Multiply-adds a nanosecond: four vectors, which is two thirds of what a core with two such units reaches at 3 GHz.
template <class T>
double speed() {
    const auto lanes =
        static_cast<double>(std::max<Index>(1, current_kernels().vector_bytes / static_cast<Index>(sizeof(T))));
    return 4 * lanes;
}

Split choose_for(const NetworkSpec& spec, Index rows, int team, Index blocks, double step_time) {
    if (rows >= rows_of_a_full_tile * team) return {SplitBy::rows, team};
    if (spec.bidirectional && team == 2) return {SplitBy::directions, 2};
    const Index by_units = std::min({static_cast<Index>(team), blocks / 2,
                                     static_cast<Index>(step_time / static_cast<double>(step_worth_a_barrier()))});
    const Index by_rows = std::min<Index>(team, rows);
    if (by_units >= 2 && by_units >= by_rows) return {SplitBy::units, static_cast<int>(by_units)};
    if (by_rows >= 2) return {SplitBy::rows, static_cast<int>(by_rows)};
    return spec.bidirectional ? Split{SplitBy::directions, 2} : Split{SplitBy::rows, 1};
}

}  // namespace

template <class T>
double time_of_step(const NetworkSpec& spec, Index input, Index rows) {
    return work_of_step(spec, input, rows) / speed<T>();
}

template <class T>
Split choose_split(const NetworkSpec& spec, Index input, Index rows, Index steps, int threads) {
    const Split alone = {SplitBy::rows, 1};
    if (threads <= 1 || rows == 0) return alone;
    const auto all =
        static_cast<Nanoseconds>(time_of_step<T>(spec, input, rows) * static_cast<double>(steps * spec.directions()));
    const int team = threads_worth_in_step(all, threads);
    if (team < 2) return alone;
    const Index blocks = ceil_div(spec.hidden_size, unit_block<T>);
    const Split split = choose_for(spec, rows, team, blocks, time_of_step<T>(spec, 0, rows));
    if (split.by == SplitBy::units || split.threads < 2) return split;
    // Teams in step try again by themselves when the time has come.
    const int now = threads_worth(all, split.threads);
    if (now == split.threads) return split;
    return now < 2 ? alone : choose_for(spec, rows, now, blocks, time_of_step<T>(spec, 0, rows));
}

template <class T>
int choose_wavefront(const NetworkSpec& spec, Index rows, Index steps, int threads) {
    if (spec.bidirectional || spec.proj_size || rows * steps < worth_a_wavefront || threads <= 1) return 1;
    const auto all = static_cast<Nanoseconds>(time_of_step<T>(spec, spec.hidden_size, rows) *
                                              static_cast<double>(steps * spec.layers));
    const int team = threads_worth(all, static_cast<int>(std::min<Index>(threads, spec.layers)));
    if (team < 2) return 1;
    const Split alone = choose_split<T>(spec, spec.hidden_size, rows, steps, threads);
    const bool as_good = alone.by == SplitBy::units || rows >= rows_of_a_full_tile * alone.threads;
    return alone.threads > team || (alone.threads == team && as_good) ? 1 : team;
}

#define FUSEDRNN_FOR(T)                                                           \
    template double time_of_step<T>(const NetworkSpec&, Index, Index);            \
    template Split choose_split<T>(const NetworkSpec&, Index, Index, Index, int); \
    template int choose_wavefront<T>(const NetworkSpec&, Index, Index, int);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
