// The numbers that the plans of cpp/rnn depend on, each with its unit and what it was chosen by. None of them changes a
// bit of a result.
//
// The commit in brackets holds the timings: least times, before and after, of one thread unless it says otherwise. Zen
// 3 has AVX2, 32 KB of L1 and 512 KB of L2 cache a core; Zen 4 has AVX-512, 32 KB and 1 MB. Where no commit is named,
// no measurement of the number itself is recorded.
#pragma once

#include "kernels/kernel_table.hpp"

namespace fusedrnn::tuning {

// A part of a cache, or several: times / over of it.
struct TimesCache {
    Index times, over;
    constexpr Index of(Index cache_bytes) const { return cache_bytes / over * times; }
};

// Threads (split.cpp).

// Rows below which a register tile is too low to run at full speed.
inline constexpr Index rows_of_a_full_tile = 4;
// Row-steps below which the upper layers of a wavefront would stand idle for too long.
inline constexpr Index row_steps_worth_a_wavefront = 48;
// Nanoseconds until a long pass asks whether it was cancelled: a person does not notice 10 ms.
inline constexpr double nanoseconds_between_checks = 10e6;

// Input products ahead of the steps (projection.cpp).

// Row-steps of a group. In a wavefront that is the distance between layers: 12 is the best of 6, 12, 18, 24 and 34 for
// 100 steps, measured on Zen 3 with two threads (d84bf79).
inline constexpr Index rows_ahead = 48, rows_ahead_in_wavefront = 12;
// Bytes of the sums of a group, at most.
inline constexpr Index bytes_ahead = 1 << 20;
// Columns of x up to which low tiles multiply them in the step, which costs less than to store the sums: of several
// rows, and of one row whose weights do not stay in an L1 cache. Measured on Zen 3 (93deaac): LSTM 7x50x8x64 230 to
// 219 us, 1x100x1x40 34.7 to 33.4 us.
inline constexpr Index columns_of_rows_in_step = 16, columns_of_one_row_in_step = 6;
// Weights that stay in an L1 cache with room for the rest, as a part of it: 20 KB. Measured on Zen 4 (e3ec6d4):
// 1x100x16x16 LSTM 10.7 to 8.5 us.
inline constexpr TimesCache weights_that_stay_in_l1 = {5, 8};
// Columns of W_ih that take as long to read, where they are beyond the L2 cache, as a sum to store and to load again.
// Measured on Zen 3 (93deaac): LSTM 8x50x256x256 5,168 to 5,010 us.
inline constexpr Index columns_for_a_stored_sum = 6;

// Overlapped products (projection.cpp).

// Values of h and x below which there is nothing to gain. Measured on Zen 4 (e3ec6d4): with 32 and 48 units 0.92 times
// as fast.
inline constexpr Index min_recurrent_to_overlap = 64, min_input_to_overlap = 32;
// W_hh that still stays in an L1 cache, as a part of it: 16 KB, above which the steps wait for the L2 cache. Measured
// on Zen 4 (e3ec6d4): an RNN of 64 units, whose W_hh is that large, is 1.00 times as fast, of 128 units 1.12 times.
inline constexpr TimesCache w_hh_beside_overlapped = {1, 2};
// Bytes of all weights in use at once, which must stay in an L3 cache beside what others keep there. Measured on Zen 4
// (b440c58): LSTM of 512 units 6,365 to 5,705 us; of 768 units 0.99, of 1,024 units 0.65 times as fast.
inline constexpr Index max_bytes_to_overlap = 12 << 20;
// Weights beside dx, in L2 caches, so that much of W_hh comes from there: 5 MB. Measured on Zen 4 (b440c58): with 512
// units of an LSTM, which is 8 MB, there was nothing to gain.
inline constexpr TimesCache weights_beside_overlapped_dx = {5, 1};

// Step blocks of the backward pass (step_blocks.cpp).

// Reduction blocks of a step block; more where W_hh exceeds an L2 cache, since every step block reads the weights again
// and writes their gradients. Measured on Zen 3 (25b49d4), against the whole sequence at once: LSTM 32x200x128x128
// 69.4 to 64.0 ms.
inline constexpr Index reductions_of_step_block = 1, reductions_for_large_weights = 2;
// Steps of a step block, at least.
inline constexpr Index min_steps_of_step_block = 4;

}  // namespace fusedrnn::tuning
