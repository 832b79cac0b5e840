// Packs every parameter of a network into the layout of the kernel that reads it.
#include "rnn/weights/packed_network.hpp"

#include <iterator>

#include "packing/packer.hpp"

namespace fusedrnn {
namespace {

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

// The rows of a weight that the gate gradients multiply, one after the other in their order.
class GradientRows {
public:
    GradientRows(CellKind cell, bool recurrent, Index hidden) {
        const GradientRuns runs = gradient_runs(cell, recurrent);
        const int first = recurrent ? cell_traits(cell).recurrent_offset : 0;
        for (; count_ < runs.count; ++count_) {
            const GradientRun& run = runs.run[count_];
            rows_[count_] = {(run.dgate - first) * hidden, run.gate * hidden, run.count * hidden};
        }
    }
    operator std::span<const RowRun>() const { return {rows_, static_cast<std::size_t>(count_)}; }

private:
    RowRun rows_[std::size(GradientRuns{}.run)];
    int count_ = 0;
};

template <class T>
void pack_layer(const Packer<T>& pack, const NetworkSpec& spec, Index layer, const ParameterSlots& slots,
                const std::vector<const T*>& params, bool with_backward, PackedLayer<T>& out) {
    const CellTraits& traits = spec.traits();
    const Index input = spec.layer_input(layer), hidden = spec.hidden_size, recurrent = spec.recurrent_size();
    const auto param = [&](Index slot) { return slot < 0 ? nullptr : params[static_cast<std::size_t>(slot)]; };
    pack_bias(spec, param(slots.b_ih), param(slots.b_hh), out.bias);
    if (spec.cell == CellKind::rnn) {
        pack.transposed(param(slots.w_ih), hidden, input, out.w_ih);
        pack.transposed(param(slots.w_hh), hidden, hidden, out.w_hh);
    } else {
        pack.gates(param(slots.w_ih), traits.gates, hidden, input, out.w_ih);
        pack.gates(param(slots.w_hh), traits.gates, hidden, recurrent, out.w_hh);
    }
    if (slots.w_hr >= 0) pack.transposed(param(slots.w_hr), spec.proj_size, hidden, out.w_hr);
    if (!with_backward) return;
    const Index depth = traits.gates * hidden;
    pack.rows(param(slots.w_ih), GradientRows(spec.cell, false, hidden), depth, input, out.w_ih_backward);
    pack.rows(param(slots.w_hh), GradientRows(spec.cell, true, hidden), depth, recurrent, out.w_hh_backward);
    if (slots.w_hr >= 0) {
        const RowRun all[] = {{0, 0, spec.proj_size}};
        pack.rows(param(slots.w_hr), all, spec.proj_size, hidden, out.w_hr_backward);
    }
}

}  // namespace

template <class T>
void PackedNetwork<T>::pack(const KernelTable& table, const NetworkSpec& spec, const std::vector<const T*>& params,
                            bool with_backward) {
    kernels_ = &kernels_of<T>(table);
    interleaved_ = table.interleaved;
    directions_ = spec.directions();
    layers_.resize(static_cast<std::size_t>(spec.layers * directions_));
    const Packer<T> pack(table);
    for (Index layer = 0; layer < spec.layers; ++layer)
        for (Index direction = 0; direction < directions_; ++direction)
            pack_layer(pack, spec, layer, parameter_slots(spec, layer, direction), params, with_backward,
                       layers_[static_cast<std::size_t>(layer * directions_ + direction)]);
}

template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace fusedrnn
