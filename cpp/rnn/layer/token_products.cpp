// Multiplies every token's row of the table with W_ih, and its gate gradients with W_ih and the table.
#include "rnn/layer/token_products.hpp"

#include <algorithm>
#include <vector>

#include "rnn/plan/projection.hpp"
#include "rnn/plan/split.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

template <class T>
int threads_for_tokens(const NetworkSpec& spec, Index input, Index count, int threads) {
    return threads_worth(static_cast<Nanoseconds>(time_of_step<T>(spec, input, count)), threads);
}

// Where no table is given a token's product is a column of W_ih, a row of its packed form: bias + it.
template <class T>
void add_bias_to_columns(const NetworkSpec& spec, const PackedLayer<T>& weights, bool interleaved, Index input,
                         Range tokens, T* sums) {
    const CellTraits& traits = spec.traits();
    const Index block = unit_block<T>, blocks = ceil_div(spec.hidden_size, block), width = projected_width<T>(spec);
    const Index panels = blocks * traits.gates;
    const Index together = !interleaved ? 1 : spec.cell == CellKind::rnn ? max_interleaved : traits.gates;
    for (Index panel = 0; panel < panels; ++panel) {
        const MicroPanelPlace place = micro_panel_place<T>(panel, panels, input, together);
        const Index gate = panel % traits.gates;
        const T* const bias = weights.bias.data() + (panel / traits.gates * traits.accumulators + gate) * block;
        for (Index token = tokens.begin; token < tokens.end; ++token) {
            const T* const column = weights.w_ih.data() + place.offset + token * place.k_stride;
            T* const to = sums + token * width + panel * block;
            for (Index i = 0; i < block; ++i) to[i] = bias[i] + column[i];
        }
    }
}

}  // namespace

template <class T>
void project_tokens(const NetworkSpec& spec, Index layer, Index direction, const PackedNetwork<T>& packed,
                    const TokenInputs<T>& tokens, T* sums, int threads) {
    const PackedLayer<T>& weights = packed.layer(layer, direction);
    const Index input = spec.layer_input(layer), width = projected_width<T>(spec);
    const int team_size = threads_for_tokens<T>(spec, tokens.table ? input : 1, tokens.count, threads);
    auto body = [&](int, const Team& team) {
        const Range part = part_of(tokens.count, team.index, team.size);
        if (part.begin == part.end) return;
        if (!tokens.table) return add_bias_to_columns(spec, weights, packed.interleaved(), input, part, sums);
        std::vector<const T*> rows;
        for (Index token = part.begin; token < part.end; ++token) rows.push_back(tokens.table + token * input);
        packed.kernels().project[static_cast<int>(spec.cell)]({
            .rows = part.end - part.begin,
            .x = rows.data(),
            .out = sums + part.begin * width,
            .out_stride = width,
            .input_size = input,
            .hidden_size = spec.hidden_size,
            .bias = weights.bias.data(),
            .w_ih = weights.w_ih.data(),
            .block_begin = 0,
            .block_end = ceil_div(spec.hidden_size, unit_block<T>),
        });
    };
    for_shares({team_size}, team_size, body);
}

namespace {

// One direction's gradients from the sums of each token's gate gradients.
template <class T>
class TokenGradients {
public:
    TokenGradients(const LayerBackward<T>& call, Index direction, const TokenInputs<T>& tokens, T* dtable)
        : call_(call), direction_(direction), tokens_(tokens), dtable_(dtable), hidden_(call.spec.hidden_size),
          depth_(call.spec.traits().gates * hidden_), sums_(call.token_gradients[direction]),
          runs_(gradient_runs(call.spec.cell, false)) {
        for (Index token = 0; token < tokens.count; ++token) {
            sum_rows_.push_back(sums_ + token * depth_);
            table_rows_.push_back(tokens.table ? tokens.table + token * call.input_size : nullptr);
            dtable_rows_.push_back(dtable ? dtable + token * call.input_size : nullptr);
        }
    }

    void run(const Team& team) const {
        if (tokens_.table) {
            table_gradient(part_of(tokens_.count, team.index, team.size));
            weight_gradient(team);
        } else {
            column_gradients(team);
        }
    }

private:
    // dtable += sums W_ih
    void table_gradient(Range rows) const {
        if (!dtable_ || rows.begin == rows.end) return;
        call_.kernels.linear({
            .rows = rows.end - rows.begin,
            .a = sum_rows_.data() + rows.begin,
            .out = dtable_rows_.data() + rows.begin,
            .depth = depth_,
            .columns = call_.input_size,
            .b = call_.weights[direction_]->w_ih_backward.data(),
            .start = nullptr,
            .by_chains = true,
            .add_to_out = true,
            .block_begin = 0,
            .block_end = ceil_div(call_.input_size, unit_block<T>),
        });
    }

    // dW_ih += sums^T table, db_ih += the sums of all tokens; a thread's part of the gates' rows.
    void weight_gradient(const Team& team) const {
        const LayerGradients<T>& out = call_.gradients[direction_];
        std::vector<OuterPartOfA<T>> parts;
        for (int r = 0; r < runs_.count; ++r) {
            const GradientRun& run = runs_.run[r];
            const Range part = part_of(run.count * hidden_, team.index, team.size);
            const Index row = run.gate * hidden_ + part.begin;
            parts.push_back({run.dgate * hidden_ + part.begin,
                             part.end - part.begin,
                             {out.w_ih + row * call_.input_size, nullptr},
                             {out.b_ih ? out.b_ih + row : nullptr, nullptr}});
        }
        const OuterB<T> table = {table_rows_.data(), call_.input_size};
        Buffer<T> scratch(outer_scratch(&table, 1));
        call_.kernels.outer({
            .rows = tokens_.count,
            .a = sum_rows_.data(),
            .a_parts = parts.data(),
            .a_part_count = static_cast<int>(parts.size()),
            .b = &table,
            .b_count = 1,
            .scratch = scratch.data(),
        });
    }

    // The table is the identity: dW_ih += sums^T.
    void column_gradients(const Team& team) const {
        const LayerGradients<T>& out = call_.gradients[direction_];
        for (int r = 0; r < runs_.count; ++r) {
            const GradientRun& run = runs_.run[r];
            const Range part = part_of(run.count * hidden_, team.index, team.size);
            for (Index i = part.begin; i < part.end; ++i) {
                const Index row = run.gate * hidden_ + i;
                T* const w = out.w_ih + row * call_.input_size;
                T all = 0;
                for (Index token = 0; token < tokens_.count; ++token) {
                    const T sum = sums_[token * depth_ + run.dgate * hidden_ + i];
                    w[token] += sum;
                    all += sum;
                }
                if (out.b_ih) out.b_ih[row] += all;
            }
        }
    }

    const LayerBackward<T>& call_;
    const Index direction_;
    const TokenInputs<T>& tokens_;
    T* const dtable_;
    const Index hidden_, depth_;
    const T* const sums_;
    const GradientRuns runs_;
    std::vector<const T*> sum_rows_, table_rows_;
    std::vector<T*> dtable_rows_;
};

}  // namespace

template <class T>
void token_gradients_backward(const LayerBackward<T>& call, Index direction, const TokenInputs<T>& tokens, T* dtable,
                              int threads) {
    const TokenGradients<T> gradients(call, direction, tokens, dtable);
    const int team_size = threads_for_tokens<T>(call.spec, 2 * call.input_size, tokens.count, threads);
    auto body = [&](int, const Team& team) { gradients.run(team); };
    for_shares({team_size}, team_size, body);
}

#define FUSEDRNN_FOR(T)                                                                                                \
    template void project_tokens(const NetworkSpec&, Index, Index, const PackedNetwork<T>&, const TokenInputs<T>&, T*, \
                                 int);                                                                                 \
    template void token_gradients_backward(const LayerBackward<T>&, Index, const TokenInputs<T>&, T*, int);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
