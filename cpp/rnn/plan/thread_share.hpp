// The share of a layer's work that one thread of a team does.
#pragma once

#include "kernels/kernel_table.hpp"
#include "rnn/plan/split.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

struct ThreadShare {
    Index first_row = 0, row_step = 1;     // sorted rows first_row, first_row + row_step, …: long and short ones alike
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

template <class T>
ThreadShare whole_layer(const NetworkSpec& spec) {
    ThreadShare share;
    share.block_end = ceil_div(spec.hidden_size, unit_block<T>);
    share.proj_end = ceil_div(spec.proj_size, unit_block<T>);
    return share;
}

template <class T>
ThreadShare share_of(const NetworkSpec& spec, SplitBy by, const Team& team) {
    ThreadShare share = whole_layer<T>(spec);
    if (team.member)
        share.barrier = {[](void* member, bool may_end) { return static_cast<Member*>(member)->wait(may_end); },
                         team.member};
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
            const Range units = part_of(share.block_end, team.index, team.size);
            const Range proj = part_of(share.proj_end, team.index, team.size);
            share.block_begin = units.begin;
            share.block_end = units.end;
            share.proj_begin = proj.begin;
            share.proj_end = proj.end;
            break;
        }
    }
    return share;
}

}  // namespace fusedrnn
