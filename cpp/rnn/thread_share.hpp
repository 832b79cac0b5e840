// The share of a layer's work that one thread of a team does.
#pragma once

#include "kernels/kernel_table.hpp"
#include "rnn/split.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

struct ThreadShare {
    Index first_row = 0, row_step = 1;   // sorted rows first_row, first_row + row_step, …: long and short ones alike
    Index block_begin = 0, block_end = 0;  // unit blocks of the hidden size
    Index proj_begin = 0, proj_end = 0;    // blocks of the projection
    int only_direction = -1;               // or both
    StepBarrier barrier;

    bool takes(Index direction) const { return only_direction < 0 || only_direction == direction; }
    // How many of the `active` first rows are this thread's.
    Index rows(Index active) const {
        if (row_step == 1) return active - first_row;  // and first_row is 0: no division where there is but one row
        return active > first_row ? ceil_div(active - first_row, row_step) : 0;
    }
    Index row(Index i) const { return first_row + i * row_step; }
};

// Of `units` of a layer whose input has `input` values.
template <class T>
Index weight_bytes(const NetworkSpec& spec, Index input, Index units) {
    return units * spec.traits().gates * (input + spec.recurrent_size()) * static_cast<Index>(sizeof(T));
}

// Whether the products with W_ih of one row, whose steps are bound by reading W_hh, go in passing. Not where there are too
// few for a tile to be worth interrupting, nor where W_hh stays in an L1 cache, nor where the weights that are in use at once
// exceed `most_bytes`: W_ih is read once for a few steps (all measured). The same for every thread.
template <class T>
bool worth_taking_in_passing(const NetworkSpec& spec, Index input, const ThreadShare& share, Index steps, Index most_bytes) {
    constexpr Index least_recurrent = 64, least_input = 32, nearest_bytes = 16 << 10;
    const Index units = padded_units<T>(spec.hidden_size), at_once = share.only_direction < 0 ? 1 : spec.directions();
    return steps >= 2 * InPassing<T>::rows && spec.recurrent_size() >= least_recurrent && input >= least_input &&
           weight_bytes<T>(spec, 0, units) > nearest_bytes && at_once * weight_bytes<T>(spec, input, units) <= most_bytes;
}

template <class T>
ThreadShare share_of(const NetworkSpec& spec, SplitBy by, const Team& team) {
    ThreadShare share;
    share.block_end = ceil_div(spec.hidden_size, unit_block<T>);
    share.proj_end = ceil_div(spec.proj_size, unit_block<T>);
    if (team.size == 1) return share;
    switch (by) {
        case SplitBy::rows:
            share.first_row = team.index;
            share.row_step = team.size;
            break;
        case SplitBy::directions:
            share.only_direction = team.index;
            break;
        case SplitBy::layers:
            break;
        case SplitBy::units: {
            const Part units = part_of(share.block_end, team.index, team.size);
            const Part proj = part_of(share.proj_end, team.index, team.size);
            share.block_begin = units.begin;
            share.block_end = units.end;
            share.proj_begin = proj.begin;
            share.proj_end = proj.end;
            share.barrier = {[](void* barrier) { static_cast<Barrier*>(barrier)->wait(); }, team.barrier};
            break;
        }
    }
    return share;
}

}  // namespace fusedrnn
