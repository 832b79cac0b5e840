// The cells fusedrnn knows: each cell's counts are stated here once; kernels, packing, tape and bindings read them.
#pragma once

namespace fusedrnn {

enum class CellKind : int { rnn, lstm, gru };
enum class Nonlinearity : int { tanh, relu, sigmoid, leaky_relu, identity };

struct CellTraits {
    CellKind kind;
    const char* name;
    int gates;             // rows of weight_ih and weight_hh, in multiples of the hidden size
    int accumulators;      // running sums per unit in the tile: the gates, and n's recurrent half apart for GRU
    int saved;             // values per unit and step that the backward pass needs beside h and c
    bool has_cell_state;   // carries c beside h
    int gate_gradients;    // pre-activation gradients per unit and step
    int recurrent_offset;  // where W_hh's begin among them, in multiples of the hidden size; W_ih's begin at 0
    bool carries_dh;       // h_{t-1} reaches h_t also past the matrix product

    // A step's gate gradients take the place of what was saved for them, which nothing reads after.
    constexpr bool replaces_saved() const { return saved == gate_gradients; }
};

// Orders. LSTM gates i,f,g,o. GRU gates r,z,n; saved r,z,n and q of (G3), the recurrent part of n; gate gradients
// n,r,z,(r * n), so that both W_ih (n,r,z) and W_hh (r,z,r*n) see three neighbours.
inline constexpr CellTraits cell_traits_table[] = {
    {.kind = CellKind::rnn,
     .name = "rnn",
     .gates = 1,
     .accumulators = 1,
     .saved = 0,
     .has_cell_state = false,
     .gate_gradients = 1,
     .recurrent_offset = 0,
     .carries_dh = false},
    {.kind = CellKind::lstm,
     .name = "lstm",
     .gates = 4,
     .accumulators = 4,
     .saved = 4,
     .has_cell_state = true,
     .gate_gradients = 4,
     .recurrent_offset = 0,
     .carries_dh = false},
    {.kind = CellKind::gru,
     .name = "gru",
     .gates = 3,
     .accumulators = 4,
     .saved = 4,
     .has_cell_state = false,
     .gate_gradients = 4,
     .recurrent_offset = 1,
     .carries_dh = true},
};
inline constexpr int cell_kind_count = sizeof(cell_traits_table) / sizeof(cell_traits_table[0]);
static_assert([] {
    for (int i = 0; i < cell_kind_count; ++i)
        if (cell_traits_table[i].kind != CellKind{i}) return false;
    return true;
}());

constexpr const CellTraits& cell_traits(CellKind kind) { return cell_traits_table[static_cast<int>(kind)]; }

// Neighbouring gate gradients that belong to neighbouring gates of a parameter: `count` gradients from `dgate` on are
// the gates from `gate` on.
struct GradientRun {
    int dgate, gate, count;
};
struct GradientRuns {
    GradientRun run[2];
    int count;

    // -1: the parameter does not see the gradient.
    constexpr int gate_of(int dgate) const {
        for (int i = 0; i < count; ++i)
            if (dgate >= run[i].dgate && dgate < run[i].dgate + run[i].count) return run[i].gate + dgate - run[i].dgate;
        return -1;
    }
    // True if gate gradients dgate - 1 and dgate belong to neighbouring gates, or both to none.
    constexpr bool goes_on_at(int dgate) const {
        const int before = gate_of(dgate - 1);
        return gate_of(dgate) == (before < 0 ? before : before + 1);
    }
};

// The map from gate gradients to the rows of W_hh (`recurrent`) or W_ih.
constexpr GradientRuns gradient_runs(CellKind kind, bool recurrent) {
    const CellTraits& traits = cell_traits(kind);
    if (kind == CellKind::gru && !recurrent) return {{{0, 2, 1}, {1, 0, 2}}, 2};
    return {{{recurrent ? traits.recurrent_offset : 0, 0, traits.gates}, {0, 0, 0}}, 1};
}

inline constexpr const char* nonlinearity_names[] = {"tanh", "relu", "sigmoid", "leaky_relu", "identity"};
inline constexpr int nonlinearity_count = sizeof(nonlinearity_names) / sizeof(nonlinearity_names[0]);
inline constexpr double leaky_relu_slope = 0.01;

}  // namespace fusedrnn
