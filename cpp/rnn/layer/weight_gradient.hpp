// Weight gradients from the gate gradients, step block by step block.
#pragma once

#include <vector>

#include "rnn/layer/direction_backward.hpp"
#include "rnn/layer/workspace.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// The row-steps whose weight gradients are taken once a step block's gate gradients are known: up to those that the
// step blocks after it took, and only whole reduction blocks. What the block at a step block's beginning lacks comes
// with the next step block or, in a segment of a longer sequence, with the segment before. Rows [0, total) are the
// segment's, the left-over ones follow.
template <class T>
struct ReadyRows {
    Index begin, end;

    ReadyRows(const LayerBackward<T>& call, const StepBlocks& step_blocks, Index step_block);
    Index count() const { return end - begin; }
};

// Weight gradients of a step block, the rows (gates x units) shared out between the threads.
template <class T>
class WeightGradient {
public:
    WeightGradient(const DirectionBackward<T>& d, Index step_block, const Team& team, ThreadScratch<T>& scratch)
        : d_(d), team_(team), scratch_(scratch), ready_(d.call, d.step_blocks, step_block), leftover_(d.call.leftover) {
    }

    void run();

private:
    template <class RowOf>
    void gather(std::vector<const T*>& rows, const Buffer<T> LeftoverRows<T>::* leftover, Index width, RowOf row_of);
    std::vector<OuterPartOfA<T>> parts(const LayerGradients<T>& out) const;
    std::vector<OuterPartOfA<T>> recurrent_parts(const LayerGradients<T>& out) const;
    void sum_by_token();
    void add_output(OuterPartOfA<T>& part, int right, int gate, T* w, Index columns, T* b) const;
    void outer(std::vector<OuterPartOfA<T>> left, const OuterB<T>* right, int right_count);

    const DirectionBackward<T>& d_;
    const Team& team_;
    ThreadScratch<T>& scratch_;
    const ReadyRows<T> ready_;
    const LeftoverRows<T>* const leftover_;
};

// Keeps the rows whose block goes on in the segment before: the first ones of this segment and, when it is shorter than
// what its block lacks, the rows that were left over already.
template <class T>
void keep_leftover(const DirectionBackward<T>& d);

}  // namespace fusedrnn
