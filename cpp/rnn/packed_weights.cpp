// Packs the parameters into the layouts of the kernels, and packs again only when a parameter has changed.
#include "rnn/packed_weights.hpp"

#include <algorithm>

#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

// What it takes to pack an element, in nanoseconds: about the time of reading and writing it in a far cache.
constexpr Index time_of_element = 1;

// Visits [0, items) on as many threads as the amount of work is worth.
template <class Visit>
void for_each_item(Index items, Index elements, Visit visit) {
    auto body = [&](int, const Team& team) {
        const Part part = part_of(items, team.index, team.size);
        for (Index i = part.begin; i < part.end; ++i) visit(i);
    };
    const int threads = threads_worth(static_cast<Nanoseconds>(elements) * time_of_element, num_threads());
    for_shares({threads}, threads, body);
}

// The layouts of kernels/kernel_table.hpp, for one ISA.
template <class T>
class Packer {
public:
    explicit Packer(const KernelTable& table)
        : transpose_(kernels_of<T>(table).transpose_panel), interleaved_(table.interleaved) {}

    // Gate panels of w (gates * hidden, depth).
    void gate_panels(const T* w, Index gates, Index hidden, Index depth, Buffer<T>& out) const {
        const Index block = unit_block<T>, slices = ceil_div(hidden, block) * gates;
        T* to = out.reserve(slices * depth * block);
        for_each_item(slices, hidden * depth * gates, [&](Index slice) {
            const Index unit = slice / gates * block, gate = slice % gates;
            const SlicePlace place = slice_place<T>(slice, slices, depth, interleaved_ ? gates : 1);
            transpose_(w + (gate * hidden + unit) * depth, depth, std::min(hidden - unit, block), depth,
                       to + place.offset, place.k_stride);
        });
    }

    // Linear panels of w transposed: out = a * w^T, w (columns, depth).
    void linear_transposed(const T* w, Index columns, Index depth, Buffer<T>& out) const {
        for_each_linear_slice(columns, depth, out, [&](Index column, Index valid, T* to, Index k_stride) {
            transpose_(w + column * depth, depth, valid, depth, to, k_stride);
        });
    }

    // Linear panels of w as it stands: out = a * w. Its `depth` rows come in runs from a matrix (…, columns).
    void linear(const T* w, const GradientRuns& runs, int first_dgate, Index run_unit, Index depth, Index columns,
                Buffer<T>& out) const {
        for_each_linear_slice(columns, depth, out, [&](Index column, Index valid, T* to, Index k_stride) {
            for (int r = 0; r < runs.count; ++r) {
                const GradientRun& run = runs.run[r];
                T* row = to + (run.dgate - first_dgate) * run_unit * k_stride;
                const T* from = w + run.gate * run_unit * columns + column;
                for (Index k = 0; k < run.count * run_unit; ++k, row += k_stride, from += columns) {
                    std::copy_n(from, valid, row);
                    std::fill(row + valid, row + unit_block<T>, T(0));
                }
            }
        });
    }

private:
    // visit(first column, true columns, where the slice begins, distance of its rows)
    template <class Visit>
    void for_each_linear_slice(Index columns, Index depth, Buffer<T>& out, Visit visit) const {
        const Index block = unit_block<T>, slices = ceil_div(columns, block);
        T* to = out.reserve(slices * block * depth);
        for_each_item(slices, columns * depth, [&](Index slice) {
            const SlicePlace place = slice_place<T>(slice, slices, depth, interleaved_ ? linear_group : 1);
            visit(slice * block, std::min(columns - slice * block, block), to + place.offset, place.k_stride);
        });
    }

    void (*const transpose_)(const T*, Index, Index, Index, T*, Index);
    const bool interleaved_;
};

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
void pack_layer(const Packer<T>& pack, const NetworkSpec& spec, Index layer, const ParameterSlots& slots,
                const std::vector<const T*>& params, bool with_backward, PackedLayer<T>& out) {
    const CellTraits& traits = spec.traits();
    const Index input = spec.layer_input(layer), hidden = spec.hidden_size, recurrent = spec.recurrent_size();
    const auto param = [&](Index slot) { return slot < 0 ? nullptr : params[static_cast<std::size_t>(slot)]; };
    pack_bias(spec, param(slots.b_ih), param(slots.b_hh), out.bias);
    if (spec.cell == CellKind::rnn) {
        pack.linear_transposed(param(slots.w_ih), hidden, input, out.w_ih);
        pack.linear_transposed(param(slots.w_hh), hidden, hidden, out.w_hh);
    } else {
        pack.gate_panels(param(slots.w_ih), traits.gates, hidden, input, out.w_ih);
        pack.gate_panels(param(slots.w_hh), traits.gates, hidden, recurrent, out.w_hh);
    }
    if (slots.w_hr >= 0) pack.linear_transposed(param(slots.w_hr), spec.proj_size, hidden, out.w_hr);
    if (!with_backward) return;
    const Index depth = traits.gates * hidden;
    pack.linear(param(slots.w_ih), gradient_runs(spec.cell, false), 0, hidden, depth, input, out.w_ih_backward);
    pack.linear(param(slots.w_hh), gradient_runs(spec.cell, true), traits.recurrent_offset, hidden, depth, recurrent,
                out.w_hh_backward);
    if (slots.w_hr >= 0) {
        const GradientRuns whole = {{{0, 0, 1}, {0, 0, 0}}, 1};
        pack.linear(param(slots.w_hr), whole, 0, spec.proj_size, spec.proj_size, hidden, out.w_hr_backward);
    }
}

}  // namespace

template <class T>
void PackedNetwork<T>::pack(const KernelTable& table, const NetworkSpec& spec, const std::vector<const T*>& params,
                            bool with_backward) {
    kernels_ = &kernels_of<T>(table);
    directions_ = spec.directions();
    with_backward_ = with_backward;
    layers_.resize(static_cast<std::size_t>(spec.layers * directions_));
    const Packer<T> pack(table);
    for (Index layer = 0; layer < spec.layers; ++layer)
        for (Index direction = 0; direction < directions_; ++direction)
            pack_layer(pack, spec, layer, parameter_slots(spec, layer, direction), params, with_backward,
                       layers_[static_cast<std::size_t>(layer * directions_ + direction)]);
}

template <class T>
WeightCache<T>::WeightCache(const NetworkSpec& spec) : spec_(spec) {
    for (const Parameter& parameter : parameters(spec))
        param_bytes_.push_back(static_cast<std::size_t>(parameter.size()) * sizeof(T));
}

// One that nobody else holds, to be packed anew.
template <class T>
PackedNetwork<T>& WeightCache<T>::Kept::renewed() {
    if (packed && packed.use_count() > 1) std::swap(packed, other);
    if (!packed || packed.use_count() > 1) packed = std::make_shared<PackedNetwork<T>>();
    // After whoever let go of it last: that was a releasing decrement of the count, and so are this copy's two changes of it.
    std::shared_ptr<PackedNetwork<T>>(packed).reset();
    return *packed;
}

template <class T>
std::shared_ptr<const PackedNetwork<T>> WeightCache<T>::get(const std::vector<const T*>& params, bool with_backward) {
    const KernelTable& table = current_kernels();
    const auto fingerprints_now = [&] {
        std::vector<std::uint64_t> fingerprints(params.size());
        for (std::size_t i = 0; i < params.size(); ++i) fingerprints[i] = table.fingerprint(params[i], param_bytes_[i]);
        return fingerprints;
    };
    std::vector<std::uint64_t> fingerprints = fingerprints_now();
    const typename ForkSafe<Kept>::Locked kept(kept_);
    const bool backward = with_backward || (kept->packed && kept->packed->with_backward());
    if (!kept->packed || fingerprints != kept->fingerprints || backward != kept->packed->with_backward() ||
        &kept->packed->kernels() != &kernels_of<T>(table)) {
        kept->fingerprints.clear();
        try {
            kept->renewed().pack(table, spec_, params, backward);
        } catch (...) {
            kept->packed.reset();  // out of memory: a call without backward may need less
            throw;
        }
        // What another thread changed meanwhile may be packed in part: then the next call packs again.
        if (fingerprints == fingerprints_now()) kept->fingerprints = std::move(fingerprints);
    }
    return kept->packed;
}

template class PackedNetwork<float>;
template class PackedNetwork<double>;
template class WeightCache<float>;
template class WeightCache<double>;

}  // namespace fusedrnn
