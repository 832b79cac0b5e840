// Lists the parameters of a staged layer, and packs them.
#include "rnn/staged/weights.hpp"

#include "packing/packer.hpp"

namespace fusedrnn {
namespace {

struct Described {
    StagedParameter which;
    const char* name;
    Index rows, columns;  // columns 0: a vector
    bool exists;
};

std::array<Described, staged_parameter_count> described(const StagedSpec& spec) {
    using enum StagedParameter;
    const Index rows = spec.gate_rows(), hidden = spec.hidden_size;
    const Index w_hh_rows = spec.independent ? hidden : rows;
    const bool normalises_c = spec.layer_norm && spec.has_cell_state();
    return {{
        {w_ih, "weight_ih", rows, spec.input_size, true},
        {w_hh, "weight_hh", w_hh_rows, spec.independent ? 0 : spec.recurrent_size(), true},
        {b_ih, "bias_ih", rows, 0, spec.bias},
        {b_hh, "bias_hh", rows, 0, spec.bias},
        {w_hr, "weight_hr", spec.proj_size, hidden, spec.proj_size > 0},
        {w_ch, "weight_ch", (spec.coupled ? 2 : 3) * hidden, 0, spec.peephole},
        {gain_ih, "gain_ih", rows, 0, spec.layer_norm},
        {gain_hh, "gain_hh", rows, 0, spec.layer_norm},
        {gain_c, "gain_c", hidden, 0, normalises_c},
        {shift_c, "shift_c", hidden, 0, normalises_c},
    }};
}

// Packs one layer's parameters for one instruction set.
template <class T>
class Filler {
public:
    Filler(const StagedSpec& spec, const std::vector<const T*>& params, StagedWeights<T>& to, const KernelTable& table)
        : spec_(spec), params_(params), slots_(staged_slots(spec)), to_(to), packer_(table) {}

    void run(bool backward) {
        using enum StagedParameter;
        const Index rows = spec_.gate_rows(), hidden = spec_.hidden_size, out = spec_.recurrent_size();
        const Index first = spec_.resets_before() ? rows - hidden : rows;
        vector(b_ih, rows, to_.b_ih);
        vector(b_hh, first, to_.b_hh);
        packer_.transposed(of(w_ih), rows, spec_.input_size, to_.w_ih);
        if (spec_.independent)
            vector(w_hh, hidden, to_.w_hh);
        else
            packer_.transposed(of(w_hh), first, out, to_.w_hh);
        if (spec_.resets_before()) {
            packer_.transposed(of(w_hh) + first * out, hidden, out, to_.w_hn);
            copy_or_zero(of(b_hh) ? of(b_hh) + first : nullptr, of(b_hh) ? hidden : 0,
                         to_.b_hn.reserve_zeros(padded_units<T>(hidden)));
        }
        if (spec_.proj_size) packer_.transposed(of(w_hr), spec_.proj_size, hidden, to_.w_hr);
        if (spec_.peephole) vector(w_ch, (spec_.coupled ? 2 : 3) * hidden, to_.w_ch);
        if (spec_.layer_norm) {
            vector(gain_ih, rows, to_.gain_ih);
            vector(gain_hh, rows, to_.gain_hh);
            vector(gain_c, hidden, to_.gain_c);
            vector(shift_c, hidden, to_.shift_c);
        }
        if (backward) pack_backward(rows, first);
    }

private:
    const T* of(StagedParameter which) const {
        const int slot = slots_[static_cast<std::size_t>(which)];
        return slot < 0 ? nullptr : params_[static_cast<std::size_t>(slot)];
    }

    // A parameter that does not exist is zeros.
    void vector(StagedParameter which, Index size, Buffer<T>& out) {
        copy_or_zero(of(which), of(which) ? size : 0, out.reserve_zeros(padded_units<T>(size)));
    }

    void matrix(StagedParameter which, Index row, Index rows, Index columns, Buffer<T>& out) {
        const RowRun run[] = {{0, row, rows}};
        packer_.rows(of(which), run, rows, columns, out);
    }

    void pack_backward(Index rows, Index first) {
        using enum StagedParameter;
        const Index hidden = spec_.hidden_size, out = spec_.recurrent_size();
        matrix(w_ih, 0, rows, spec_.input_size, to_.w_ih_backward);
        if (!spec_.independent) matrix(w_hh, 0, first, out, to_.w_hh_backward);
        if (spec_.resets_before()) matrix(w_hh, first, hidden, out, to_.w_hn_backward);
        if (spec_.proj_size) matrix(w_hr, 0, spec_.proj_size, hidden, to_.w_hr_backward);
    }

    const StagedSpec& spec_;
    const std::vector<const T*>& params_;
    const std::array<int, staged_parameter_count> slots_;
    StagedWeights<T>& to_;
    const Packer<T> packer_;
};

}  // namespace

std::vector<Parameter> parameters(const StagedSpec& spec) {
    std::vector<Parameter> all;
    for (const Described& each : described(spec))
        if (each.exists) all.push_back({each.name, each.rows, each.columns});
    return all;
}

std::array<int, staged_parameter_count> staged_slots(const StagedSpec& spec) {
    std::array<int, staged_parameter_count> slots = {};
    int next = 0;
    for (const Described& each : described(spec))
        slots[static_cast<std::size_t>(each.which)] = each.exists ? next++ : -1;
    return slots;
}

template <class T>
std::shared_ptr<const StagedWeights<T>> packed_staged(PackedCache<StagedWeights<T>>& cache, const StagedSpec& spec,
                                                      const std::vector<const T*>& params, bool with_backward,
                                                      bool unchanged) {
    if (unchanged)
        if (auto latest = cache.latest(with_backward)) return latest;
    std::vector<ParameterBytes> bytes;
    const std::vector<Parameter> all = parameters(spec);
    for (std::size_t i = 0; i < all.size(); ++i)
        bytes.push_back({params[i], static_cast<std::size_t>(all[i].size()) * sizeof(T)});
    return cache.get(bytes, with_backward, [&](StagedWeights<T>& to, const KernelTable& table, bool backward) {
        Filler<T>(spec, params, to, table).run(backward);
    });
}

template std::shared_ptr<const StagedWeights<float>> packed_staged(PackedCache<StagedWeights<float>>&,
                                                                   const StagedSpec&, const std::vector<const float*>&,
                                                                   bool, bool);
template std::shared_ptr<const StagedWeights<double>> packed_staged(PackedCache<StagedWeights<double>>&,
                                                                    const StagedSpec&,
                                                                    const std::vector<const double*>&, bool, bool);

}  // namespace fusedrnn
