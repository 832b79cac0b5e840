// Makes what a staged call works on.
#include "rnn/staged/call.hpp"

#include <algorithm>

namespace fusedrnn {

StagedSchedule::StagedSchedule(const BatchShape& shape, bool reverse)
    : order_(static_cast<std::size_t>(shape.rows)), length_(static_cast<std::size_t>(shape.rows)), reverse_(reverse) {
    const auto length_of = [&](Index row) { return shape.lengths ? Index(shape.lengths[row]) : shape.steps; };
    std::iota(order_.begin(), order_.end(), Index(0));
    std::stable_sort(order_.begin(), order_.end(), [&](Index a, Index b) { return length_of(a) > length_of(b); });
    for (std::size_t i = 0; i < order_.size(); ++i) length_[i] = length_of(order_[i]);
    steps_ = length_.empty() ? 0 : length_[0];
    if (!shape.reset) return;
    cut_.resize(static_cast<std::size_t>(steps_ * rows()));
    for (Index step = 0; step < steps_; ++step)
        for (Index row = 0; row < rows() && step < length(row); ++row) {
            const Index border = reverse ? time(step, row) + 1 : step;  // the mark that cuts this step off
            if (border < length(row))
                cut_[static_cast<std::size_t>(step * rows() + row)] =
                    shape.reset[border * shape.reset_time_stride + original(row) * shape.reset_batch_stride] != 0;
        }
}

namespace {

// Rows of input products that are taken at once: enough for full tiles, and few enough to stay in the L2 cache.
constexpr Index projected_rows = 96;

template <class T>
const StagedKernels<T>& kernels_for(const StagedSpec& spec, const Kernels<T>& kernels) {
    if (spec.resets_before()) return kernels.staged_reset_before;
    return kernels.staged[static_cast<int>(spec.cell)];
}

template <class T>
ActivationOf<T> activation_of(const ActivationSpec& spec) {
    return {spec.kind, static_cast<T>(spec.alpha), static_cast<T>(spec.beta)};
}

}  // namespace

template <class T>
StagedCall<T>::StagedCall(const StagedSpec& given, std::shared_ptr<const StagedWeights<T>> packed,
                          const StagedInputs<T>& inputs, bool keeps_all)
    : spec(given), weights(std::move(packed)), table(current_kernels()), kernels(kernels_of<T>(table)),
      cell_kernels(kernels_for<T>(spec, kernels)), in(inputs), schedule(in.shape, in.reverse), keeps(keeps_all),
      project_at_once(std::clamp<Index>(projected_rows / std::max<Index>(1, in.shape.rows), 1,
                                        std::max<Index>(1, schedule.steps()))),
      cell(make_cell()) {
    zeros.reserve_zeros(padded_units<T>(std::max({spec.hidden_size, spec.recurrent_size(), spec.input_size})));
    if (spec.cell == CellKind::gru) group_ends.push_back(2 * spec.hidden_size);
    group_ends.push_back(gate_rows());
    make_fields();
}

template <class T>
StagedCell<T> StagedCall<T>::make_cell() const {
    StagedCell<T> made = {};
    made.hidden_size = spec.hidden_size;
    made.gates = activation_of<T>(spec.gates);
    made.candidate = activation_of<T>(spec.candidate);
    made.output = activation_of<T>(spec.output);
    made.clip = static_cast<T>(spec.clip);
    made.cell_clip = static_cast<T>(spec.cell_clip);
    made.coupled = spec.coupled;
    made.minimal = spec.minimal;
    if (spec.peephole) {
        const T* const all = weights->w_ch.data();
        made.peephole_i = all;
        made.peephole_f = spec.coupled ? nullptr : all + spec.hidden_size;
        made.peephole_o = all + (spec.coupled ? 1 : 2) * spec.hidden_size;
    }
    if (spec.layer_norm && spec.has_cell_state()) {
        made.gain_c = weights->gain_c.data();
        made.shift_c = weights->shift_c.data();
    }
    made.epsilon = static_cast<T>(spec.epsilon);
    return made;
}

template <class T>
void StagedCall<T>::make_fields() {
    const Index rows = schedule.rows(), gates = gate_rows(), hidden = spec.hidden_size, out = spec.recurrent_size();
    const Index all = std::max<Index>(1, schedule.steps());
    const Index one = keeps ? all : 1, two = keeps ? all : 2, several = keeps ? all : project_at_once;
    const auto make = [&](bool needed, Field<T>& field, Index width, Index period) {
        if (needed) field.make(rows, width, period);
    };
    const bool lstm = spec.has_cell_state(), gru_after = spec.cell == CellKind::gru && !spec.resets_before();
    make(true, fields.a, gates, several);
    make(true, fields.recurrent, gates, 1);
    make(true, fields.h, out, two);
    make(lstm, fields.c, hidden, two);
    make(in.zoneout_h.acts(), fields.new_h, out, 1);
    make(in.zoneout_c.acts() && lstm, fields.new_c, hidden, one);
    make(in.h_mask, fields.before, out, one);
    make(gru_after && keeps, fields.q, hidden, all);
    make(spec.resets_before(), fields.k, hidden, one);
    make(spec.proj_size > 0, fields.m, hidden, one);
    make(spec.layer_norm, fields.normal_ih, gates, several);
    make(spec.layer_norm, fields.deviation_ih, static_cast<Index>(group_ends.size()), several);
    make(spec.layer_norm, fields.normal_hh, gates, one);
    make(spec.layer_norm, fields.deviation_hh, static_cast<Index>(group_ends.size()), one);
    make(spec.layer_norm && lstm, fields.normal_c, hidden, one);
    make(spec.layer_norm && lstm, fields.deviation_c, 1, one);
    make(keeps, fields.x, spec.input_size, all);
}

template <class T>
double StagedCall<T>::multiply_adds() const {
    const double depth = static_cast<double>(spec.input_size) + static_cast<double>(spec.recurrent_size());
    constexpr double activation = 16;  // what it takes, in multiply-adds
    return static_cast<double>(schedule.rows()) * static_cast<double>(schedule.steps()) *
           (static_cast<double>(gate_rows()) * (depth + activation) +
            static_cast<double>(spec.proj_size) * static_cast<double>(spec.hidden_size));
}

template struct StagedCall<float>;
template struct StagedCall<double>;

}  // namespace fusedrnn
