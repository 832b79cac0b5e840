// What one ISA offers to the layers above: plain function pointers over plain structs.
//
// Packed weights. A *unit block* is one cache line of units (16 float, 8 double), a *slice* is [k][unit in block].
//   gate panels    a slice for every unit block and gate: [unit block][gate]      LSTM, GRU
//   linear panels  a slice for every unit block
// Where a vector is a whole cache line, neighbouring slices are interleaved by k, [k][slice][unit], so that a tile
// reads one stream: all gates of a unit block, up to `linear_group` unit blocks. Narrower vectors take the slices one
// after the other. Columns past the true width are zero. Everything else (inputs, states, tape, gradients) is compact.
//
// A *span* is a run of time steps in which the set of active rows does not change and no row's carried state is
// replaced; the kernels walk a whole span. Row structs describe a row at the span's first step and are advanced in
// place, step by step, by the strides.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fusedrnn/cell.hpp"

namespace fusedrnn {

using Index = std::ptrdiff_t;

inline constexpr Index cache_line = 64;
inline constexpr Index l2_bytes = 512 * 1024;  // of the cache where blocks of weights, and plans, want to find them
inline constexpr Index linear_group = 4;       // most slices that are interleaved in a linear panel
inline constexpr Index reduction_block = 512;  // rows (time x batch) in one chain of a weight gradient
inline constexpr Index gradient_chain = 512;   // gate gradients in one chain of dh and dx: all gates' would lose digits
template <class T>
inline constexpr Index linear_tile_columns = 2 * linear_group * (cache_line / static_cast<Index>(sizeof(T)));  // most
template <class T>
inline constexpr Index unit_block = cache_line / static_cast<Index>(sizeof(T));

[[gnu::always_inline]] constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
template <class T>
[[gnu::always_inline]] constexpr Index padded_units(Index n) {
    return ceil_div(n, unit_block<T>) * unit_block<T>;
}

// Where a slice begins, and how far apart its k lie, when up to `together` neighbours are interleaved.
struct MicroPanelPlace {
    Index offset, k_stride;
};
template <class T>
[[gnu::always_inline]] constexpr MicroPanelPlace micro_panel_place(Index slice, Index slices, Index depth,
                                                                   Index together) {
    const Index first = slice / together * together;
    const Index width = slices - first < together ? slices - first : together;
    return {(first * depth + (slice - first)) * unit_block<T>, width * unit_block<T>};
}

// Called by every thread that shares a span's units at the points where all must have written before any reads.
struct StepBarrier {
    bool (*wait)(void*, bool may_end) = nullptr;
    void* context = nullptr;
    // In the middle of a step.
    [[gnu::always_inline]] void within_step() const {
        if (wait) wait(context, false);
    }
    // At its end. Whether to go on: if not, the span ends after this step, on all threads.
    [[gnu::always_inline]] bool after_step() const { return !wait || wait(context, true); }
};

template <class T>
struct ForwardRow {
    const T* x;       // the input, or where `input_projected` the sums' start [unit block][gate][unit], evenly spaced
    const T* h_prev;  // recurrent input
    const T* c_prev;
    T* unprojected;  // o * tanh(c) before the projection; same as h where there is none
    T* h;            // the step's output
    T* c;
    T* saved;  // the tape's values [saved][hidden], or null
};

template <class T>
struct ForwardStrides {  // elements from one step to the next
    Index x, unprojected, h, c, saved;
};

// A product of evenly spaced rows that is computed while spans of one row wait for W_hh (gemm/overlap.hpp). Its
// progress is part of it: several spans may go on with it.
template <class T>
struct OverlappedProduct {
    static constexpr Index rows = 8;
    const T* x;  // the first of so many rows, and from one to the next
    Index x_stride;
    T* out;  // the same
    Index out_stride;
    // Begin at 0: the tile in hand, in cache lines of the product's columns; where the chain in hand begins; how deep
    // it is.
    Index column, chain, k;
    alignas(cache_line) T sums[rows * 2 * unit_block<T>];
};

template <class T>
struct ForwardSpan {
    Index steps, rows;
    ForwardRow<T>* row;
    ForwardStrides<T> stride;
    bool input_projected;
    Index input_size, hidden_size, proj_size;  // proj_size 0: no projection
    Nonlinearity nonlinearity;                 // simple RNN only
    const T* bias;                             // [unit block][accumulator][unit]: what every sum starts from
    const T* w_ih;                             // gate panels (LSTM, GRU) or linear panels (RNN), k = input
    const T* w_hh;                             // the same, k = recurrent input
    const T* w_hr;                             // linear panels, k = hidden; null without projection
    Index block_begin, block_end;              // the unit blocks this call computes
    Index proj_begin, proj_end;                // the projection's blocks this call computes
    bool down;                                 // where the first step begins: blocks go up and down by turns
    OverlappedProduct<T>* overlapped;  // the input projection of steps after the span, as project() would store it,
                                       // of the span's blocks. Null: none
    bool completes_overlapped;         // it is complete at the end of this span, unless the barrier ended it
    StepBarrier barrier;

    [[gnu::always_inline]] Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }
};

// Starts of the accumulators for many input rows at once: out = bias + x W_ih, gate panel order.
template <class T>
struct ProjectArgs {
    Index rows;
    const T* const* x;
    T* out;  // rows of [unit block][gate][unit], `out_stride` apart, all blocks; only the given ones are written
    Index out_stride;
    Index input_size, hidden_size;
    const T* bias;
    const T* w_ih;
    Index block_begin, block_end;
};

// out[r] = start + a[r] * panel, one chain; or, by_chains, sums of at most `gradient_chain` terms each, added in order.
template <class T>
struct LinearArgs {
    Index rows;
    const T* const* a;
    T* const* out;
    Index depth, columns;  // k count, true output width
    const T* panel;        // linear panels
    const T* start;        // padded to whole blocks, or null for zero
    bool by_chains;
    bool add_to_out;  // only by_chains: the first sum is added too, otherwise it replaces what out holds
    Index block_begin, block_end;
};

template <class T>
struct BackwardRow {
    const T* dgates_next;  // gate gradients (recurrent part) of the step after; the span's `zeros` where none come back
    const T* dy;
    T* dh_carry;  // past the product: read, and for GRU written. Null: zero (LSTM and RNN drop it after a step)
    T* dc_carry;
    const T* saved;
    const T* h;
    const T* c;
    const T* h_prev_last;  // h_{t-1}, c_{t-1} of the span's earliest step; else they are the neighbours of h and c
    const T* c_prev_last;
    T* dgates;   // gate gradients of this step; may be where `saved` is: of a unit that is read first
    T* dh_proj;  // gradient of the projected output, kept for dW_hr
};

template <class T>
struct BackwardStrides {  // elements from one step to the step before it in processing order (added while walking back)
    Index dy, saved, h, c, dgates, dh_proj;
};

template <class T>
struct BackwardSpan {
    Index steps, rows;
    BackwardRow<T>* row;
    BackwardStrides<T> stride;
    bool enters_at_end;  // no row has a step after: the first product is skipped
    const T* zeros;      // a row of them
    Index hidden_size, proj_size;
    Nonlinearity nonlinearity;
    const T* w_hh;  // linear panels, k = recurrent gate gradients, columns = recurrent input
    const T* w_hr;  // linear panels, k = projection, columns = hidden; null without projection
    Index block_begin, block_end;
    Index proj_begin, proj_end;
    T* scratch;                        // rows * linear_tile_columns elements, owned by this call
    OverlappedProduct<T>* overlapped;  // dx of steps after the span: `dx`, by chains, of these rows. Null: none is
    LinearArgs<T> dx;
    bool completes_overlapped;  // it is complete at the end of this span, and where the barrier ended it
    StepBarrier barrier;

    [[gnu::always_inline]] Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }
};

// out[m][n] += sum over rows of a[row][m] * b[row][n], in chains of `reduction_block` rows, the blocks added last to
// first, for up to two right operands b that share a, of which each may see other columns.
inline constexpr int outer_max_rights = 2;
template <class T>
struct OuterRight {
    const T* const* b;
    Index columns;
};

// Columns [first, first + count) of a: where they go. out[i] is what right operand i makes of them, `count` rows of its
// columns, or null if it does not see them. sums[i][m] += sum over rows of a[row][first + m], the same blocks, or null.
template <class T>
struct OuterLeft {
    Index first, count;
    T* out[outer_max_rights];
    T* sums[outer_max_rights];
};

template <class T>
struct OuterArgs {
    Index rows;
    const T* const* a;
    const OuterLeft<T>* left;
    int left_count;
    const OuterRight<T>* right;
    int right_count;
    T* scratch;  // outer_scratch() elements
};

template <class T>
inline constexpr Index outer_chunk =
    6 * unit_block<T>;                          // columns of `a` packed at a time: 192 KB, which stay in the L2 cache
inline constexpr Index outer_panel_blocks = 4;  // unit blocks of `b` in a packed panel
inline constexpr Index outer_panels = 16;       // most panels of `b` that are packed at a time

// Room for a chunk of `a`, and for the panels of all right operands, none of which holds columns of two.
template <class T>
[[gnu::always_inline]] constexpr Index outer_scratch(const OuterRight<T>* right, int count) {
    constexpr Index columns = outer_panel_blocks * unit_block<T>;
    Index panels = 0;
    for (int i = 0; i < count; ++i) panels += ceil_div(right[i].columns, columns);
    if (panels > outer_panels) panels = outer_panels;
    return reduction_block * (outer_chunk<T> + panels * columns) + outer_chunk<T> * unit_block<T> + cache_line;
}

enum class MathFunction : int { exp, tanh, sigmoid };
inline constexpr const char* math_function_names[] = {"exp", "tanh", "sigmoid"};

template <class T>
struct Kernels {
    Index tile_rows;    // rows of a full register tile
    Index enough_rows;  // with fewer a tile waits for loads
    // So many columns of x one row's step multiplies while it waits for the activations of the step before.
    Index columns_while_waiting;
    bool overlaps_products;  // ForwardSpan::overlapped, BackwardSpan::overlapped
    // The steps taken, which are all but where the barrier ended the span.
    Index (*forward[cell_kind_count])(const ForwardSpan<T>&);
    void (*project[cell_kind_count])(const ProjectArgs<T>&);
    Index (*backward[cell_kind_count])(const BackwardSpan<T>&);
    void (*linear)(const LinearArgs<T>&);
    void (*outer)(const OuterArgs<T>&);
    void (*pack_micro_panel)(const T* source, Index source_stride, Index rows, Index depth, T* out, Index out_stride);
    void (*evaluate)(MathFunction, const T* x, T* y, Index n);
    // The speed of light of this machine, for benchmarks: chains of fused multiply-adds; returns the operations done.
    double (*fma_peak)(Index iterations);
    double (*read_bandwidth)(const T* data, Index n);
};

struct KernelTable {
    const char* name;
    Index vector_bytes;
    bool interleaved;  // slices of packed weights
    bool fused_multiply_add;
    std::uint64_t (*fingerprint)(const void* data, std::size_t bytes);
    Kernels<float> f32;
    Kernels<double> f64;
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
    return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
    return table.f64;
}

}  // namespace fusedrnn
