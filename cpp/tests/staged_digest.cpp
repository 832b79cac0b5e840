// staged_digest ISA: runs a staged layer of every variant forward and backward on fixed numbers of odd sizes, and
// prints a 64-bit digest of the result bits for each. AVX2, AVX-512 and NEON must print the same lines; the scalar
// build, without FMA, prints its own. Exits with 77 where the machine lacks the ISA.

#include <cstdio>
#include <vector>

#include "digest.hpp"
#include "fusedrnn/staged.hpp"
#include "random.hpp"

namespace {

using namespace fusedrnn;
using fusedrnn_test::Digest;
using fusedrnn_test::Random;

struct Variant {
    const char* name;
    StagedSpec spec;
};

std::vector<Variant> variants() {
    using enum CellKind;
    std::vector<Variant> all = {
        {"lstm", {.cell = lstm}},
        {"lstm peephole, bounds", {.cell = lstm, .clip = 0.9, .cell_clip = 0.5, .peephole = true}},
        {"lstm coupled, peephole", {.cell = lstm, .peephole = true, .coupled = true}},
        {"lstm layer norm", {.cell = lstm, .layer_norm = true}},
        {"lstm projection", {.cell = lstm, .proj_size = 5}},
        {"gru", {.cell = gru}},
        {"gru layer norm", {.cell = gru, .layer_norm = true}},
        {"gru reset before", {.cell = gru, .reset_after = false}},
        {"gru minimal", {.cell = gru, .minimal = true}},
        {"rnn independent", {.cell = rnn, .independent = true}},
    };
    for (std::size_t i = 0; i < activation_names.size(); ++i)
        all.push_back({activation_names[i].data(), {.cell = rnn, .output = {static_cast<Activation>(i), 0.7, 0.4}}});
    return all;
}

template <class T>
class Run {
public:
    Run(StagedSpec spec, Index steps, Index rows, std::uint64_t seed)
        : spec_(spec), steps_(steps), rows_(rows), random_(seed), layer_(spec) {
        for (const Parameter& parameter : parameters(spec)) {
            weights_.push_back(numbers(parameter.size()));
            pointers_.push_back(weights_.back().data());
        }
    }

    void digest(Digest& digest) {
        const Index width = spec_.recurrent_size(), hidden = spec_.hidden_size;
        const auto x = numbers(steps_ * rows_ * spec_.input_size), h0 = numbers(rows_ * width),
                   c0 = numbers(rows_ * hidden), mask = numbers(rows_ * width),
                   shares = numbers(steps_ * rows_ * width), dy = numbers(steps_ * rows_ * width);
        std::vector<std::int64_t> lengths;
        for (Index row = 0; row < rows_; ++row) lengths.push_back((row * 5 + 3) % steps_ + 1);
        StagedInputs<T> in;
        in.shape = {steps_, rows_, lengths.data()};
        in.reverse = rows_ % 2 == 1;
        in.x = {x.data(), rows_ * spec_.input_size, spec_.input_size};
        in.h0 = h0.data();
        if (spec_.has_cell_state()) in.c0 = c0.data();
        in.h_mask = mask.data();
        in.zoneout_h.shares = {shares.data(), rows_ * width, width};
        in.zoneout_c.share = spec_.has_cell_state() ? 0.25 : 0;

        std::vector<T> y(dy.size()), h_n(h0.size()), c_n(c0.size());
        ForwardOutputs<T> out;
        out.y = {y.data(), rows_ * width, width};
        out.h_n = h_n.data();
        if (spec_.has_cell_state()) out.c_n = c_n.data();
        const auto tape = layer_.record(pointers_, in, out);
        for (const auto* result : {&y, &h_n}) digest.add(*result);
        if (spec_.has_cell_state()) digest.add(c_n);
        go_back(*tape, dy, digest);
    }

private:
    void go_back(StagedTape<T>& tape, const std::vector<T>& dy, Digest& digest) {
        const Index width = spec_.recurrent_size(), hidden = spec_.hidden_size;
        std::vector<T> dx(static_cast<std::size_t>(steps_ * rows_ * spec_.input_size));
        std::vector<T> dh0(static_cast<std::size_t>(rows_ * width)), dc0(static_cast<std::size_t>(rows_ * hidden));
        std::vector<T> dinitial_h(static_cast<std::size_t>(width)), dinitial_c(static_cast<std::size_t>(hidden));
        std::vector<std::vector<T>> gradients;
        for (const std::vector<T>& weight : weights_) gradients.emplace_back(weight.size());
        StagedBackwardOutputs<T> out;
        out.dx = {dx.data(), rows_ * spec_.input_size, spec_.input_size};
        out.dh0 = dh0.data(), out.dc0 = dc0.data();
        out.dinitial_h = dinitial_h.data(), out.dinitial_c = dinitial_c.data();
        for (std::vector<T>& gradient : gradients) out.params.push_back(gradient.data());
        BackwardInputs<T> in;
        in.dy = {dy.data(), rows_ * width, width};
        tape.backward(in, out);
        digest.add(dx);
        digest.add(dh0);
        if (spec_.has_cell_state()) digest.add(dc0);
        for (const std::vector<T>& gradient : gradients) digest.add(gradient);
    }

    std::vector<T> numbers(Index count) {
        std::vector<T> values(static_cast<std::size_t>(count));
        for (T& value : values) value = random_.unit<T>();
        return values;
    }

    const StagedSpec spec_;
    const Index steps_, rows_;
    Random random_;
    StagedLayer<T> layer_;
    std::vector<std::vector<T>> weights_;
    std::vector<const T*> pointers_;
};

template <class T>
void digest_variant(const Variant& variant) {
    Digest digest;
    std::uint64_t seed = 0;
    for (Index hidden : {7, 16, 33})
        for (Index rows : {1, 2, 5, 9}) {
            StagedSpec spec = variant.spec;
            spec.hidden_size = hidden;
            spec.input_size = (hidden * 7 + rows * 5) % 41 + 1;
            Run<T>(spec, 5, rows, ++seed).digest(digest);
        }
    std::printf("%-24s %-6s %016llx\n", variant.name, sizeof(T) == 4 ? "float" : "double", digest.value());
}

}  // namespace

int main(int argc, char** argv) {
    return fusedrnn_test::digests_of_isa(argc, argv, [] {
        for (const Variant& variant : variants()) {
            digest_variant<float>(variant);
            digest_variant<double>(variant);
        }
    });
}
