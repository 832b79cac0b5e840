#include "rnn/packed_weights.hpp"

#include <cstring>

#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

// Fewer elements than this are packed by one thread: starting a team would take as long.
constexpr Index elements_worth_a_team = 1 << 17;

// Visits [0, pieces) on as many threads as the amount of work is worth.
template <class Visit>
void for_each_piece(Index pieces, Index elements, Visit visit) {
    auto body = [&](const Team& team) {
        const Part part = part_of(pieces, team.index, team.size);
        for (Index i = part.begin; i < part.end; ++i) visit(i);
    };
    parallel(elements < elements_worth_a_team ? 1 : num_threads(), body);
}

// [unit block][k][gate][unit] from (gates * hidden, depth).
template <class T>
void pack_gates(const T* w, Index gates, Index hidden, Index depth, Buffer<T>& out) {
    const Index block = unit_block<T>, blocks = ceil_div(hidden, block);
    T* to = out.reserve(blocks * depth * gates * block);
    const auto transpose = kernels_of<T>(current_kernels()).transpose_panel;
    for_each_piece(blocks * gates, hidden * depth * gates, [&](Index piece) {
        const Index unit = piece / gates * block, gate = piece % gates;
        const Index units = hidden - unit < block ? hidden - unit : block;
        transpose(w + (gate * hidden + unit) * depth, depth, units, depth,
                  to + (piece / gates * depth * gates + gate) * block, gates * block);
    });
}

// Where a unit block starts in linear panels of `columns` columns, and the distance of its rows.
template <class T>
struct LinearPlace {
    Index offset, row_stride;
    LinearPlace(Index block, Index columns, Index depth) {
        const Index blocks = ceil_div(columns, unit_block<T>);
        const Index group = block / linear_group, left = blocks - group * linear_group;
        row_stride = (left < linear_group ? left : linear_group) * unit_block<T>;
        offset = (group * linear_group * depth) * unit_block<T> + block % linear_group * unit_block<T>;
    }
};

template <class T>
Index linear_elements(Index columns, Index depth) {
    return padded_units<T>(columns) * depth;
}

// Linear panels of w transposed: out = a * w^T, w (columns, depth).
template <class T>
void pack_linear_transposed(const T* w, Index columns, Index depth, Buffer<T>& out) {
    const Index block = unit_block<T>;
    T* to = out.reserve(linear_elements<T>(columns, depth));
    const auto transpose = kernels_of<T>(current_kernels()).transpose_panel;
    for_each_piece(ceil_div(columns, block), columns * depth, [&](Index piece) {
        const LinearPlace<T> place(piece, columns, depth);
        const Index rows = columns - piece * block < block ? columns - piece * block : block;
        transpose(w + piece * block * depth, depth, rows, depth, to + place.offset, place.row_stride);
    });
}

// Linear panels of w as it stands: out = a * w. Its `depth` rows come in runs from a matrix (…, columns).
template <class T>
void pack_linear(const T* w, const GradientRuns& runs, int first_slot, Index run_unit, Index depth, Index columns,
                 Buffer<T>& out) {
    const Index block = unit_block<T>;
    T* to = out.reserve(linear_elements<T>(columns, depth));
    for_each_piece(ceil_div(columns, block), columns * depth, [&](Index piece) {
        const LinearPlace<T> place(piece, columns, depth);
        const Index column = piece * block;
        const std::size_t valid = static_cast<std::size_t>(columns - column < block ? columns - column : block);
        for (int r = 0; r < runs.count; ++r) {
            const GradientRun& run = runs.run[r];
            T* row = to + place.offset + (run.slot - first_slot) * run_unit * place.row_stride;
            const T* from = w + run.gate * run_unit * columns + column;
            for (Index k = 0; k < run.count * run_unit; ++k, row += place.row_stride, from += columns) {
                std::memcpy(row, from, valid * sizeof(T));
                for (std::size_t j = valid; j < static_cast<std::size_t>(block); ++j) row[j] = 0;
            }
        }
    });
}

// [unit block][accumulator][unit]: b_ih + b_hh where they only ever meet as a sum; GRU keeps n's two apart.
template <class T>
void pack_bias(const NetworkSpec& spec, const T* b_ih, const T* b_hh, Buffer<T>& out) {
    const CellTraits& traits = spec.traits();
    const Index hidden = spec.hidden_size, block = unit_block<T>;
    T* to = out.reserve_zeros(padded_units<T>(hidden) * traits.accumulators);
    if (!b_ih) return;
    const bool apart = traits.accumulators > traits.gates;
    const int last = traits.gates - 1;
    for (Index unit = 0; unit < hidden; ++unit) {
        T* at = to + unit / block * block * traits.accumulators + unit % block;
        for (int gate = 0; gate < traits.gates; ++gate) {
            const Index row = gate * hidden + unit;
            at[gate * block] = apart && gate == last ? b_ih[row] : b_ih[row] + b_hh[row];
        }
        if (apart) at[traits.gates * block] = b_hh[last * hidden + unit];
    }
}

template <class T>
void pack_layer(const NetworkSpec& spec, Index layer, const ParameterSlots& slots, const std::vector<const T*>& params,
                bool with_backward, PackedLayer<T>& out) {
    const CellTraits& traits = spec.traits();
    const Index input = spec.layer_input(layer), hidden = spec.hidden_size, recurrent = spec.recurrent_size();
    const auto param = [&](Index slot) { return slot < 0 ? nullptr : params[static_cast<std::size_t>(slot)]; };
    pack_bias(spec, param(slots.b_ih), param(slots.b_hh), out.bias);
    if (spec.cell == CellKind::rnn) {
        pack_linear_transposed(param(slots.w_ih), hidden, input, out.w_ih);
        pack_linear_transposed(param(slots.w_hh), hidden, hidden, out.w_hh);
    } else {
        pack_gates(param(slots.w_ih), traits.gates, hidden, input, out.w_ih);
        pack_gates(param(slots.w_hh), traits.gates, hidden, recurrent, out.w_hh);
    }
    if (slots.w_hr >= 0) pack_linear_transposed(param(slots.w_hr), spec.proj_size, hidden, out.w_hr);
    if (!with_backward) return;
    const Index depth = traits.gates * hidden;
    pack_linear(param(slots.w_ih), gradient_runs(spec.cell, false), 0, hidden, depth, input, out.w_ih_backward);
    pack_linear(param(slots.w_hh), gradient_runs(spec.cell, true), traits.recurrent_offset, hidden, depth, recurrent,
                out.w_hh_backward);
    if (slots.w_hr >= 0) {
        const GradientRuns whole = {{{0, 0, 1}, {0, 0, 0}}, 1};
        pack_linear(param(slots.w_hr), whole, 0, spec.proj_size, spec.proj_size, hidden, out.w_hr_backward);
    }
}

}  // namespace

template <class T>
PackedNetwork<T>::PackedNetwork(const NetworkSpec& spec, const std::vector<const T*>& params, bool with_backward)
    : directions_(spec.directions()), with_backward_(with_backward),
      layers_(static_cast<std::size_t>(spec.layers * spec.directions())) {
    for (Index layer = 0; layer < spec.layers; ++layer)
        for (Index direction = 0; direction < directions_; ++direction)
            pack_layer(spec, layer, parameter_slots(spec, layer, direction), params, with_backward,
                       layers_[static_cast<std::size_t>(layer * directions_ + direction)]);
}

template <class T>
WeightCache<T>::WeightCache(const NetworkSpec& spec) : spec_(spec) {
    for (const Parameter& parameter : parameters(spec))
        param_bytes_.push_back(static_cast<std::size_t>(parameter.size()) * sizeof(T));
}

template <class T>
std::shared_ptr<const PackedNetwork<T>> WeightCache<T>::get(const std::vector<const T*>& params, bool with_backward) {
    const auto fingerprint = current_kernels().fingerprint;
    std::vector<std::uint64_t> prints(params.size());
    for (std::size_t i = 0; i < params.size(); ++i) prints[i] = fingerprint(params[i], param_bytes_[i]);
    const std::lock_guard lock(mutex_);
    const bool backward = with_backward || (packed_ && packed_->with_backward());
    if (!packed_ || prints != prints_ || backward != packed_->with_backward()) {
        packed_.reset();  // the old one goes first, unless a tape or a stream holds it
        packed_ = std::make_shared<PackedNetwork<T>>(spec_, params, backward);
        prints_ = std::move(prints);
    }
    return packed_;
}

template class PackedNetwork<float>;
template class PackedNetwork<double>;
template class WeightCache<float>;
template class WeightCache<double>;

}  // namespace fusedrnn
