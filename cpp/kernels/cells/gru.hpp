// GRU, reset after the product: equations (G1)-(G5) forward and (G6)-(G10) backward of docs/design/cells.md.
// Sums arrive in the order r, z, n's input half, n's recurrent half, which is q of (G3). step/backward.hpp has the
// product of (G10).
#pragma once

#include "gemm/tile.hpp"
#include "math/sigmoid.hpp"
#include "math/tanh.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Gru {
    using V = Vec<T>;
    static constexpr CellKind kind = CellKind::gru;
    static constexpr int gates = cell_traits(kind).gates;
    static constexpr int accumulators = cell_traits(kind).accumulators;
    static constexpr int saved = cell_traits(kind).saved;
    static constexpr int input_accumulator(int gate) { return gate; }
    static constexpr int recurrent_accumulator(int gate) { return gate == 2 ? 3 : gate; }

    // Two stages, as LSTM's. The last tanh is that of n, so update_state returns its argument.
    static constexpr int output_accumulator = 1;

    FUSEDRNN_INLINE static V update_state(const V* sum, const ForwardRow<T>& row, Index unit, Index lanes,
                                          Index hidden) {
        const V r = sigmoid(sum[0]);  // (G1)
        if (T* saved = row.saved) {
            store_lanes(r, saved + unit, lanes);
            store_lanes(sum[3], saved + unit + 3 * hidden, lanes);  // (G3)
        }
        return fma(r, sum[3], sum[2]);  // (G4), before its tanh
    }

    FUSEDRNN_INLINE static void emit_output(V tanh_argument, V sum, const ForwardRow<T>& row, Index unit, Index lanes,
                                            Index hidden) {
        const V z = sigmoid(sum), n = tanh(tanh_argument);  // (G2), (G4)
        store_lanes(fma(z, load_lanes<V>(row.h_prev + unit, lanes) - n, n), row.unprojected + unit, lanes);  // (G5)
        if (T* saved = row.saved) {
            store_lanes(z, saved + unit + hidden, lanes);
            store_lanes(n, saved + unit + 2 * hidden, lanes);
        }
    }

    FUSEDRNN_INLINE static void backward(V dh, const BackwardRow<T>& row, const T* h_prev, const T*, Index unit,
                                         Index lanes, Index hidden, Nonlinearity) {
        const V one = V::broadcast(1);
        const T* saved = row.saved + unit;
        const V r = load_lanes<V>(saved, lanes), z = load_lanes<V>(saved + hidden, lanes);
        const V n = load_lanes<V>(saved + 2 * hidden, lanes), recurrent = load_lanes<V>(saved + 3 * hidden, lanes);
        const V h_before = load_lanes<V>(h_prev + unit, lanes);
        store_lanes(dh * z, row.dh_carry + unit, lanes);  // (G10), without the product
        const V dn = dh * (one - z) * fma(-n, n, one);    // (G7)
        T* out = row.dgates + unit;
        store_lanes(dn, out, lanes);
        store_lanes(dn * recurrent * (r * (one - r)), out + hidden, lanes);           // (G8)
        store_lanes(dh * (h_before - n) * (z * (one - z)), out + 2 * hidden, lanes);  // (G6)
        store_lanes(dn * r, out + 3 * hidden, lanes);                                 // (G9)
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
