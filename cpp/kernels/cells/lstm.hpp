// LSTM, equations (L1)-(L6) forward and (L7)-(L14) backward of docs/design/cells.md. Sums, the pre-activations of (L1),
// arrive in the order i,f,g,o. (L6) is in step/forward.hpp, (L7) and (L13) are in step/backward.hpp.
#pragma once

#include "gemm/tile.hpp"
#include "math/sigmoid.hpp"
#include "math/tanh.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Lstm {
    using V = Vec<T>;
    static constexpr CellKind kind = CellKind::lstm;
    static constexpr int gates = cell_traits(kind).gates;
    static constexpr int accumulators = cell_traits(kind).accumulators;
    static constexpr int saved = cell_traits(kind).saved;
    static constexpr int input_accumulator(int gate) { return gate; }
    static constexpr int recurrent_accumulator(int gate) { return gate; }

    // The cell in two stages, before and after its last tanh. Over several rows the first stages of all rows run before
    // the second ones, so that no row waits for its own tanh(c). update_state returns c, the argument of that tanh;
    // emit_output takes it, and of the accumulators only `output_accumulator`.
    static constexpr int output_accumulator = 3;

    FUSEDRNN_INLINE static V update_state(const V* sum, const ForwardRow<T>& row, Index unit, Index lanes,
                                          Index hidden) {
        const V i = sigmoid(sum[0]), f = sigmoid(sum[1]), g = tanh(sum[2]);  // (L2), (L3)
        const V c = fma(f, load_lanes<V>(row.c_prev + unit, lanes), i * g);  // (L4)
        store_lanes(c, row.c + unit, lanes);
        if (T* saved = row.saved) {
            saved += unit;
            store_lanes(i, saved, lanes);
            store_lanes(f, saved + hidden, lanes);
            store_lanes(g, saved + 2 * hidden, lanes);
        }
        return c;
    }

    FUSEDRNN_INLINE static void emit_output(V c, V sum, const ForwardRow<T>& row, Index unit, Index lanes,
                                            Index hidden) {
        const V o = sigmoid(sum);                                 // (L2)
        store_lanes(o * tanh(c), row.unprojected + unit, lanes);  // (L5)
        if (row.saved) store_lanes(o, row.saved + unit + 3 * hidden, lanes);
    }

    // `dm` is the whole gradient of m = o * tanh(c): (L7).
    FUSEDRNN_INLINE static void backward(V dm, const BackwardRow<T>& row, const T*, const T* c_prev, Index unit,
                                         Index lanes, Index hidden, Nonlinearity) {
        const V one = V::broadcast(1);
        const T* saved = row.saved + unit;
        const V i = load_lanes<V>(saved, lanes), f = load_lanes<V>(saved + hidden, lanes);
        const V g = load_lanes<V>(saved + 2 * hidden, lanes), o = load_lanes<V>(saved + 3 * hidden, lanes);
        const V tanh_c = tanh(load_lanes<V>(row.c + unit, lanes));
        const V dc = fma(dm * o, fma(-tanh_c, tanh_c, one), load_lanes<V>(row.dc_carry + unit, lanes));  // (L8)
        store_lanes(dc * f, row.dc_carry + unit, lanes);                                                 // (L14)
        T* out = row.dgates + unit;
        store_lanes(dc * g * (i * (one - i)), out, lanes);                                             // (L9)
        store_lanes(dc * load_lanes<V>(c_prev + unit, lanes) * (f * (one - f)), out + hidden, lanes);  // (L10)
        store_lanes(dc * i * fma(-g, g, one), out + 2 * hidden, lanes);                                // (L11)
        store_lanes(dm * tanh_c * (o * (one - o)), out + 3 * hidden, lanes);                           // (L12)
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
