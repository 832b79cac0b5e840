// Decides when input products are computed: in the step, ahead of a group of steps, or overlapped.
#include "rnn/plan/projection.hpp"

#include <algorithm>

#include "dispatch/caches.hpp"
#include "rnn/plan/tuning.hpp"

namespace fusedrnn {
namespace {

// Whether products with W_ih of one row, whose steps are bound by reading W_hh, are worth overlapping: not where there
// are too few for a tile to be worth interrupting, nor where W_hh stays in an L1 cache, nor where the weights that are
// in use at once exceed `max_bytes`, since W_ih is read once for a few steps. The same for every thread.
template <class T>
bool worth_overlapping(const NetworkSpec& spec, Index input, const ThreadShare& share, Index steps, Index max_bytes) {
    const Index units = padded_units<T>(spec.hidden_size), at_once = share.only_direction < 0 ? 1 : spec.directions();
    return steps >= max_overlapped_group<T> && spec.recurrent_size() >= tuning::min_recurrent_to_overlap &&
           input >= tuning::min_input_to_overlap &&
           weight_bytes<T>(spec, 0, units) > tuning::w_hh_beside_overlapped.of(cache_sizes().l1) &&
           at_once * weight_bytes<T>(spec, input, units) <= max_bytes;
}

}  // namespace

template <class T>
ProjectionPlan<T>::ProjectionPlan(const NetworkSpec& spec, Index input_size, const Schedule& schedule,
                                  const ThreadShare& share, const Kernels<T>& kernels, bool in_wavefront,
                                  bool always_ahead)
    : spec_(spec), input_size_(input_size), schedule_(schedule), share_(share), kernels_(kernels),
      in_wavefront_(in_wavefront), always_ahead_(always_ahead) {}

// A product of many input rows runs at the speed of the FMA units and reads W_ih once, but its sums are stored in
// between. Groups are all about as long; in a wavefront they are short, so that the next layer may follow.
template <class T>
StepGroup ProjectionPlan<T>::next(Index begin, const StepRange& span, Index row_steps_left) {
    if (!always_ahead_ && (overlapping_ || overlaps(begin, row_steps_left)))
        return next_overlapped(begin, row_steps_left);
    const Index row_bytes = projected_width<T>(spec_) * static_cast<Index>(sizeof(T));
    const Index max_rows =
        std::min(in_wavefront_ ? tuning::rows_ahead_in_wavefront : tuning::rows_ahead, tuning::bytes_ahead / row_bytes);
    const Index groups = ceil_div(row_steps_left, std::max<Index>(max_rows, 1));
    const Index enough = ceil_div(row_steps_left, groups);
    Index end = begin, row_steps = 0;
    while (end < schedule_.steps() && row_steps < enough) row_steps += rows_at(end++);
    if (always_ahead_ || (end - begin > 1 && (has_low_tiles(rows_at(begin)) || saves_reading(end - begin, row_steps))))
        return {{begin, end}, InputProduct::ahead, row_steps};
    end = in_wavefront_ ? std::min(end, span.end) : span.end;
    return {{begin, end}, InputProduct::in_step, rows_at(begin) * (end - begin)};
}

template <class T>
bool ProjectionPlan<T>::overlaps(Index begin, Index steps_left) const {
    return kernels_.overlaps_products && rows_at(begin) == 1 && !in_wavefront_ &&
           worth_overlapping<T>(spec_, input_size_, share_, steps_left, tuning::max_bytes_to_overlap);
}

// The first group takes what is left over, so that whole tiles follow.
template <class T>
StepGroup ProjectionPlan<T>::next_overlapped(Index begin, Index steps_left) {
    constexpr Index tile = OverlappedProduct<T>::rows;
    const Index steps = overlapping_ ? tile : tile + steps_left % tile;
    overlapping_ = true;
    return {{begin, begin + steps}, InputProduct::overlapped, steps};
}

// The step's own tiles would be too low for the FMA units, and the input has columns enough for that to outweigh the
// storing.
template <class T>
bool ProjectionPlan<T>::has_low_tiles(Index rows) const {
    const Index lowest_tile = rows / ceil_div(rows, kernels_.tile_rows);
    const Index columns = rows > 1        ? tuning::columns_of_rows_in_step
                          : stays_in_l1() ? kernels_.columns_while_waiting
                                          : tuning::columns_of_one_row_in_step;
    return lowest_tile < kernels_.enough_rows && input_size_ > columns;
}

// All weights stay in an L1 cache, with room for the rest.
template <class T>
bool ProjectionPlan<T>::stays_in_l1() const {
    return weight_bytes() <= tuning::weights_that_stay_in_l1.of(cache_sizes().l1);
}

// Weights that do not stay in an L2 cache: for every unit of every gate, the columns of W_ih that `steps` steps
// together read less, against the sums to store and to load again.
template <class T>
bool ProjectionPlan<T>::saves_reading(Index steps, Index row_steps) const {
    return weight_bytes() >= cache_sizes().l2 &&
           input_size_ * (steps - 1) > tuning::columns_for_a_stored_sum * row_steps;
}

// Of the thread's units.
template <class T>
Index ProjectionPlan<T>::weight_bytes() const {
    const Index units = (share_.block_end - share_.block_begin) * unit_block<T>;
    return fusedrnn::weight_bytes<T>(spec_, input_size_, units);
}

// Not where threads have rows of their own, or directions, which add to one another's dx. Much of W_hh comes from an L2
// cache: otherwise there is nothing to gain.
template <class T>
bool overlaps_input_gradient(const NetworkSpec& spec, Index input_size, const ThreadShare& share,
                             const Kernels<T>& kernels, Index steps) {
    return kernels.overlaps_products && share.row_step == 1 && share.only_direction < 0 &&
           worth_overlapping<T>(spec, input_size, share, steps,
                                tuning::weights_beside_overlapped_dx.of(cache_sizes().l2));
}

template <class T>
StepRange last_overlapped_group(StepRange steps) {
    const bool whole = steps.end - steps.begin < max_overlapped_group<T>;
    return {whole ? steps.begin : steps.end - OverlappedProduct<T>::rows, steps.end};
}

#define FUSEDRNN_FOR(T)                                                                                             \
    template class ProjectionPlan<T>;                                                                               \
    template bool overlaps_input_gradient(const NetworkSpec&, Index, const ThreadShare&, const Kernels<T>&, Index); \
    template StepRange last_overlapped_group<T>(StepRange);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
