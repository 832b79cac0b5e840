// Decides how a layer is shared between threads, and between how many: rows, units, directions or whole layers.
#include "rnn/plan/split.hpp"

#include <algorithm>

#include "dispatch/work.hpp"
#include "kernels/kernel_table.hpp"
#include "rnn/plan/tuning.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

// Multiply-adds of one direction of a layer with `input` values.
double work_of_step(const NetworkSpec& spec, Index input, Index rows) {
    return static_cast<double>(spec.traits().gates * spec.hidden_size) *
           static_cast<double>((spec.recurrent_size() + input) * rows);
}

Split choose_for(const NetworkSpec& spec, Index rows, int team, Index blocks, double step_time) {
    if (rows >= tuning::rows_of_a_full_tile * team) return {SplitBy::rows, team};
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
    return work_of_step(spec, input, rows) / multiply_adds_a_nanosecond<T>();
}

template <class T>
Index max_steps_between_checks(const NetworkSpec& spec, Index input, Index rows) {
    return 1 + static_cast<Index>(tuning::nanoseconds_between_checks /
                                  time_of_step<T>(spec, input, std::max<Index>(rows, 1)));
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
    if (spec.bidirectional || spec.proj_size || rows * steps < tuning::row_steps_worth_a_wavefront || threads <= 1)
        return 1;
    const auto all = static_cast<Nanoseconds>(time_of_step<T>(spec, spec.hidden_size, rows) *
                                              static_cast<double>(steps * spec.layers));
    const int team = threads_worth(all, static_cast<int>(std::min<Index>(threads, spec.layers)));
    if (team < 2) return 1;
    const Split alone = choose_split<T>(spec, spec.hidden_size, rows, steps, threads);
    const bool as_good = alone.by == SplitBy::units || rows >= tuning::rows_of_a_full_tile * alone.threads;
    return alone.threads > team || (alone.threads == team && as_good) ? 1 : team;
}

#define FUSEDRNN_FOR(T)                                                           \
    template double time_of_step<T>(const NetworkSpec&, Index, Index);            \
    template Index max_steps_between_checks<T>(const NetworkSpec&, Index, Index); \
    template Split choose_split<T>(const NetworkSpec&, Index, Index, Index, int); \
    template int choose_wavefront<T>(const NetworkSpec&, Index, Index, int);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
