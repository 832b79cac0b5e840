// Sorts the rows of a batch by length and cuts the sequence into spans.
#include "rnn/plan/schedule.hpp"

#include <algorithm>

namespace fusedrnn {

Schedule::Schedule(const BatchShape& shape, bool forward, bool reverse, const Index* steps_after) : batch_(shape.rows) {
    if (steps_after) steps_after_.assign(steps_after, steps_after + shape.rows);
    sort_rows(shape);
    const Index steps = length_.empty() ? 0 : length_.front();
    active_.resize(static_cast<std::size_t>(steps));
    offset_.resize(static_cast<std::size_t>(steps));
    Index alive = rows();
    for (Index s = 0; s < steps; ++s) {
        while (alive > 0 && length(alive - 1) <= s) --alive;
        active_[static_cast<std::size_t>(s)] = alive;
        offset_[static_cast<std::size_t>(s)] = total_;
        total_ += alive;
    }
    for (const bool direction : {false, true}) {
        if (!(direction ? reverse : forward)) continue;
        if (shape.reset) read_resets(shape, direction);
        spans_[direction] = split(direction, 0);
    }
}

void Schedule::sort_rows(const BatchShape& shape) {
    const auto length_of = [&](Index b) -> Index { return shape.lengths ? shape.lengths[b] : shape.steps; };
    for (Index b = 0; b < shape.rows; ++b) (length_of(b) > 0 ? order_ : empty_).push_back(b);
    // By the whole sequence's length: a segment of it keeps the whole's order of rows.
    const auto whole = [&](Index b) {
        return length_of(b) + (steps_after_.empty() ? 0 : steps_after_[static_cast<std::size_t>(b)]);
    };
    if (shape.lengths)
        std::stable_sort(order_.begin(), order_.end(), [&](Index a, Index b) { return whole(a) > whole(b); });
    for (const Index b : order_) length_.push_back(length_of(b));
}

void Schedule::read_resets(const BatchShape& shape, bool reverse) {
    std::vector<std::uint8_t>& mask = reset_[reverse];
    mask.assign(static_cast<std::size_t>(steps() * rows()), 0);
    // An episode's first step has no other before it in time. In reverse it is the step processed before that cuts, and
    // the row's end, where that direction begins, is no border: the mask after it is padding.
    for (Index s = reverse; s < steps(); ++s)
        for (Index row = 0; row < active(s); ++row)
            mask[static_cast<std::size_t>(s * rows() + row)] =
                shape.reset[time(reverse, s - reverse, row) * shape.reset_time_stride +
                            batch_row(row) * shape.reset_batch_stride] != 0;
}

std::vector<StepRange> Schedule::split(bool reverse, Index truncate) const {
    std::vector<StepRange> spans;
    const auto begins_new = [&](Index s) {
        if (s == 0 || active(s) != active(s - 1)) return true;
        if (reset_[reverse].empty() && truncate == 0) return false;
        for (Index row = 0; row < active(s); ++row)
            if (reset(reverse, s, row) || window_begins(s, row, truncate)) return true;
        return false;
    };
    for (Index s = 0; s < steps(); ++s) {
        if (begins_new(s))
            spans.push_back({s, s + 1});
        else
            spans.back().end = s + 1;
    }
    return spans;
}

std::vector<StepRange> Schedule::spans(bool reverse, Index truncate) const {
    return truncate ? split(reverse, truncate) : spans_[reverse];
}

}  // namespace fusedrnn
