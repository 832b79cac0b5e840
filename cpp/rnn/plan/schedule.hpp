// Which rows are alive at which step, and where a kernel may run on without stopping.
//
// Steps here are *local*: step s of a row is its s-th processed one, time s forward and time length-1-s in reverse.
// Rows are sorted by length, longest first, so that the active rows of a step are the first ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "fusedrnn/network.hpp"

namespace fusedrnn {

struct StepRange {
    Index begin, end;
};

class Schedule {
public:
    // `steps_after`: for a segment of a longer sequence, how many steps each batch row has after it; or null.
    Schedule(const BatchShape& shape, bool forward, bool reverse, const Index* steps_after = nullptr);

    Index batch() const { return batch_; }                            // rows, those of length 0 too
    Index rows() const { return static_cast<Index>(order_.size()); }  // rows with at least one step
    Index steps() const { return static_cast<Index>(active_.size()); }
    Index total() const { return total_; }  // row-steps: the length of packed arrays
    Index batch_row(Index row) const { return order_[static_cast<std::size_t>(row)]; }
    // Batch rows of length 0.
    const std::vector<Index>& empty_rows() const { return empty_; }
    Index length(Index row) const { return length_[static_cast<std::size_t>(row)]; }
    Index active(Index step) const { return active_[static_cast<std::size_t>(step)]; }
    // Packed arrays hold step after step the active rows of each.
    Index row_step(Index step, Index row) const { return offset_[static_cast<std::size_t>(step)] + row; }
    // visit(step, row) for the row-steps [begin, end) of packed arrays.
    template <class Visit>
    void for_each(Index begin, Index end, Visit visit) const {
        if (begin >= end) return;
        const auto after = std::upper_bound(offset_.begin(), offset_.end(), begin);
        for (Index step = after - offset_.begin() - 1; begin < end; ++step)
            for (Index row = begin - row_step(step, 0); row < active(step) && begin < end; ++row, ++begin)
                visit(step, row);
    }
    Index time(bool reverse, Index step, Index row) const { return reverse ? length(row) - 1 - step : step; }

    // The carried state is zeroed before this step: an episode's border in time lies between it and the one processed
    // before.
    bool reset(bool reverse, Index step, Index row) const {
        const auto& mask = reset_[reverse];
        return !mask.empty() && mask[static_cast<std::size_t>(step * rows() + row)];
    }
    // Runs of steps with the same active rows and no reset inside.
    const std::vector<StepRange>& spans(bool reverse) const { return spans_[reverse]; }
    // The same, also ended where a window of `truncate` steps, counted back from each row's end, begins.
    std::vector<StepRange> spans(bool reverse, Index truncate) const;
    bool window_begins(Index step, Index row, Index truncate) const {
        return truncate > 0 && step > 0 && (length(row) + steps_after(row) - step) % truncate == 0;
    }

private:
    Index steps_after(Index row) const {
        return steps_after_.empty() ? 0 : steps_after_[static_cast<std::size_t>(batch_row(row))];
    }
    void sort_rows(const BatchShape& shape);
    void read_resets(const BatchShape& shape, bool reverse);
    std::vector<StepRange> split(bool reverse, Index truncate) const;

    Index batch_;
    Index total_ = 0;
    std::vector<Index> order_, empty_, length_, active_, offset_, steps_after_;
    std::vector<std::uint8_t> reset_[2];
    std::vector<StepRange> spans_[2];
};

}  // namespace fusedrnn
