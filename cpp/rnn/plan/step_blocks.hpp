// The backward pass of a long sequence goes in step blocks: once a step block's gate gradients are known, dx and the
// weights' gradients of its row-steps follow, while those are in a near cache. So the memory for gate gradients that
// have no place in the tape does not grow with the sequence either.
#pragma once

#include <algorithm>
#include <vector>

#include "rnn/plan/schedule.hpp"

namespace fusedrnn {

// How many row-steps a step block of a batch of `rows` has at least.
template <class T>
Index min_step_block(const NetworkSpec& spec, Index rows);

class StepBlocks {
public:
    // Of at least `rows` row-steps each, no less than a reduction block: what one lacks is in the step block before or
    // after.
    StepBlocks(const Schedule& schedule, Index rows);

    Index count() const { return static_cast<Index>(step_blocks_.size()); }
    // The step block that has `index` others between it and the sequence's end.
    StepRange steps(Index index) const { return step_blocks_[static_cast<std::size_t>(index)]; }

    // Arrays of capacity() rows hold this step block's values, those of the one before it, and those of a third, where
    // one thread may write while others still read the two.
    Index capacity() const { return std::min(count(), at_once) * rows_; }
    Index place(Index step, Index row) const { return place_[static_cast<std::size_t>(step)] + row; }

private:
    static constexpr Index at_once = 3;

    std::vector<StepRange> step_blocks_;
    std::vector<Index> place_;  // of each step's first row
    Index rows_ = 0;            // of the largest step block
};

}  // namespace fusedrnn
