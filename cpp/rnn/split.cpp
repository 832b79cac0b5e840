#include "rnn/split.hpp"

#include <algorithm>

#include "kernels/kernel_table.hpp"

namespace fusedrnn {
namespace {

// Multiply-adds that one thread does in about the time it takes to start a team, and to pass a barrier.
constexpr double worth_a_team = 400e3;
constexpr double worth_a_barrier = 24e3;
// Rows below which a register tile is too thin to run at full speed.
constexpr Index rows_of_a_full_tile = 4;
// Row-steps below which the upper layers of a wave would stand idle too long.
constexpr Index worth_a_wave = 48;

// Multiply-adds of one direction of a layer with `input` values.
double work_of_a_step(const NetworkSpec& spec, Index input, Index rows) {
    return static_cast<double>(spec.traits().gates * spec.hidden_size) *
           static_cast<double>((spec.recurrent_size() + input) * rows);
}

}  // namespace

Split choose_split(const NetworkSpec& spec, Index input, Index rows, Index steps, int threads,
                   std::size_t value_bytes) {
    const double all = work_of_a_step(spec, input, rows) * static_cast<double>(steps * spec.directions());
    if (threads <= 1 || rows == 0 || all < 2 * worth_a_team) return {SplitBy::rows, 1};
    const int team = static_cast<int>(std::min(static_cast<double>(threads), all / worth_a_team));

    if (rows >= rows_of_a_full_tile * team) return {SplitBy::rows, team};
    if (spec.bidirectional && team == 2) return {SplitBy::directions, 2};
    const Index blocks = ceil_div(spec.hidden_size, cache_line / static_cast<Index>(value_bytes));
    const double in_step = work_of_a_step(spec, 0, rows);
    const Index by_units = std::min({static_cast<Index>(team), blocks / 2,
                                     static_cast<Index>(in_step / worth_a_barrier)});
    const Index by_rows = std::min<Index>(team, rows);
    if (by_units >= 2 && by_units >= by_rows) return {SplitBy::units, static_cast<int>(by_units)};
    if (by_rows >= 2) return {SplitBy::rows, static_cast<int>(by_rows)};
    return spec.bidirectional ? Split{SplitBy::directions, 2} : Split{SplitBy::rows, 1};
}

int choose_wave(const NetworkSpec& spec, Index rows, Index steps, int threads, std::size_t value_bytes) {
    if (spec.bidirectional || spec.proj_size || rows * steps < worth_a_wave) return 1;
    const double all = work_of_a_step(spec, spec.hidden_size, rows) * static_cast<double>(steps * spec.layers);
    const int team = static_cast<int>(
        std::min({static_cast<double>(threads), static_cast<double>(spec.layers), all / worth_a_team}));
    if (team < 2) return 1;
    const Split alone = choose_split(spec, spec.hidden_size, rows, steps, threads, value_bytes);
    const bool as_good = alone.by == SplitBy::units || rows >= rows_of_a_full_tile * alone.threads;
    return alone.threads > team || (alone.threads == team && as_good) ? 1 : team;
}

}  // namespace fusedrnn
