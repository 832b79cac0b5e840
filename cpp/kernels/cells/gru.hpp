// GRU, reset after the product: equations (G1)-(G5) forward and (G6)-(G11) backward of docs/design/cells.md.
// Sums arrive in the order r, z, n's input half, n's recurrent half.
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
    static constexpr int sums = cell_traits(kind).accumulators;
    static constexpr int input_slot(int gate) { return gate; }
    static constexpr int recurrent_slot(int gate) { return gate == 2 ? 3 : gate; }

    FUSEDRNN_INLINE static void forward(const V* sum, const ForwardRow<T>& row, Index unit, Index lanes, Index hidden) {
        const V r = sigmoid(sum[0]), z = sigmoid(sum[1]);
        const V n = tanh(fma(r, sum[3], sum[2]));
        const V h_prev = load_lanes<V>(row.h_prev + unit, lanes);
        store_lanes(fma(z, h_prev - n, n), row.units + unit, lanes);
        if (T* saved = row.saved) {
            saved += unit;
            store_lanes(r, saved, lanes);
            store_lanes(z, saved + hidden, lanes);
            store_lanes(n, saved + 2 * hidden, lanes);
            store_lanes(sum[3], saved + 3 * hidden, lanes);
        }
    }

    FUSEDRNN_INLINE static void backward(V dh, const BackwardRow<T>& row, const T* h_prev, const T*, Index unit,
                                         Index lanes, Index hidden, Nonlinearity) {
        const V one = V::broadcast(1);
        const T* saved = row.saved + unit;
        const V r = load_lanes<V>(saved, lanes), z = load_lanes<V>(saved + hidden, lanes);
        const V n = load_lanes<V>(saved + 2 * hidden, lanes), recurrent = load_lanes<V>(saved + 3 * hidden, lanes);
        const V h_before = load_lanes<V>(h_prev + unit, lanes);
        store_lanes(dh * z, row.dh_carry + unit, lanes);
        const V dn = dh * (one - z) * fma(-n, n, one);
        T* out = row.gates + unit;
        store_lanes(dn, out, lanes);
        store_lanes(dn * recurrent * (r * (one - r)), out + hidden, lanes);
        store_lanes(dh * (h_before - n) * (z * (one - z)), out + 2 * hidden, lanes);
        store_lanes(dn * r, out + 3 * hidden, lanes);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
