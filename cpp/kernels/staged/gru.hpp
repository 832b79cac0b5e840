// The GRU with options, over whole rows: sections 4 and 5 of docs/design/cells.md, and the minimal gated unit (O10).
//
// A GRU that resets before takes a step in two stages, since the product of n needs r * h'. `prepare` ends with k of
// (B1); then comes the product, and `finish`. Backward, `begin` ends with the gradient of n; then comes the product
// (B3), and `finish_backward`.
#pragma once

#include "activations.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct StagedGru {
    using V = Vec<T>;

    // Where each gate's pre-activation lies. The minimal unit has one gate f in place of r and z.
    static Index z_of(const StagedCell<T>& cell) { return cell.minimal ? 0 : cell.hidden_size; }
    static Index n_of(const StagedCell<T>& cell) { return (cell.minimal ? 1 : 2) * cell.hidden_size; }

    // z, or 1 - f of the minimal unit.
    FUSEDRNN_INLINE static V share_of_old(const StagedCell<T>& cell, V gate) {
        return cell.minimal ? V::broadcast(1) - gate : gate;
    }

    static void add_recurrent(const StagedRow<T>& row, Index n) {
        for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(load_lanes<V>(row.a + i, lanes) + load_lanes<V>(row.recurrent + i, lanes), row.a + i, lanes);
        });
    }

    // (G5)
    static void emit(const StagedCell<T>& cell, const StagedRow<T>& row, const T* z, const T* n) {
        for_each_lane<T>(cell.hidden_size, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V share = share_of_old(cell, load_lanes<V>(z + i, lanes)), candidate = load_lanes<V>(n + i, lanes);
            const V h_prev = load_lanes<V>(row.h_prev + i, lanes);
            store_lanes(fma(share, h_prev - candidate, candidate), row.m + i, lanes);
        });
    }

    static void forward(const StagedForwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size;
        T *const gates = p.scratch, *const n = p.scratch + 2 * padded_units<T>(hidden);
        for (Index r = 0; r < p.rows; ++r) {
            const StagedRow<T>& row = p.row[r];
            add_recurrent(row, 2 * hidden);
            activate(cell.gates, cell.clip, row.a, gates, 2 * hidden);  // (G1), (G2)
            const T* const q = row.recurrent + 2 * hidden;
            T* const a_n = row.a + 2 * hidden;
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                const V product = load_lanes<V>(q + i, lanes);
                if (row.q) store_lanes(product, row.q + i, lanes);
                store_lanes(fma(load_lanes<V>(gates + i, lanes), product, load_lanes<V>(a_n + i, lanes)), a_n + i,
                            lanes);
            });
            activate(cell.candidate, cell.clip, a_n, n, hidden);  // (G4)
            emit(cell, row, gates + hidden, n);
        }
    }

    static void prepare(const StagedForwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedRow<T>& row = p.row[r];
            add_recurrent(row, n_of(cell));
            activate(cell.gates, cell.clip, row.a, p.scratch, cell.hidden_size);
            for_each_lane<T>(cell.hidden_size, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(p.scratch + i, lanes) * load_lanes<V>(row.h_seen + i, lanes), row.k + i,
                            lanes);  // (B1)
            });
        }
    }

    static void finish(const StagedForwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size, n_at = n_of(cell);
        T *const z = p.scratch, *const n = p.scratch + padded_units<T>(hidden);
        for (Index r = 0; r < p.rows; ++r) {
            const StagedRow<T>& row = p.row[r];
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(row.a + n_at + i, lanes) + load_lanes<V>(row.recurrent + n_at + i, lanes),
                            row.a + n_at + i, lanes);
            });
            activate(cell.gates, cell.clip, row.a + z_of(cell), z, hidden);
            activate(cell.candidate, cell.clip, row.a + n_at, n, hidden);  // (B2)
            emit(cell, row, z, n);
        }
    }

    // The gradient of the share of the old h goes to `dshare`, what dh gives h' at once to dh: (G6), (G7).
    static void update_backward(const StagedCell<T>& cell, const StagedBackwardRow<T>& row, const T* z, const T* n,
                                T* dshare, T* dn) {
        for_each_lane<T>(cell.hidden_size, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V share = share_of_old(cell, load_lanes<V>(z + i, lanes)), candidate = load_lanes<V>(n + i, lanes);
            const V dh = load_lanes<V>(row.dm + i, lanes);
            store_lanes(dh * share, row.dh + i, lanes);
            store_lanes(dh * (V::broadcast(1) - share), dn + i, lanes);
            store_lanes(dh * (load_lanes<V>(row.h_prev + i, lanes) - candidate), dshare + i, lanes);
        });
    }

    static void backward(const StagedBackwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size, padded = padded_units<T>(hidden);
        T *const gates = p.scratch, *const n = p.scratch + 2 * padded, *const dr = p.scratch + 3 * padded,
                 *const dz = dr + hidden;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedBackwardRow<T>& row = p.row[r];
            T* const a_n = row.a + 2 * hidden;
            activate(cell.gates, cell.clip, row.a, gates, 2 * hidden);
            activate(cell.candidate, cell.clip, a_n, n, hidden);
            update_backward(cell, row, gates + hidden, n, dz, n);
            multiply_by_derivative(cell.candidate, cell.clip, a_n, n, a_n, hidden);
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                const V delta = load_lanes<V>(a_n + i, lanes);
                store_lanes(delta * load_lanes<V>(row.q + i, lanes), dr + i, lanes);  // (G8)
            });
            store_second_recurrent(row, gates, a_n, hidden);
            multiply_by_derivative(cell.gates, cell.clip, row.a, dr, row.a, 2 * hidden);
            for_each_lane<T>(2 * hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(row.a + i, lanes), row.recurrent + i, lanes);
            });
        }
    }

    // (G9): the recurrent product of n has r times the gradient.
    static void store_second_recurrent(const StagedBackwardRow<T>& row, const T* r, const T* delta_n, Index hidden) {
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(load_lanes<V>(delta_n + i, lanes) * load_lanes<V>(r + i, lanes), row.recurrent + 2 * hidden + i,
                        lanes);
        });
    }

    static void begin(const StagedBackwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size, padded = padded_units<T>(hidden);
        T *const z = p.scratch, *const n = z + padded, *const dz = n + padded;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedBackwardRow<T>& row = p.row[r];
            T* const a_n = row.a + n_of(cell);
            activate(cell.gates, cell.clip, row.a + z_of(cell), z, hidden);
            activate(cell.candidate, cell.clip, a_n, n, hidden);
            update_backward(cell, row, z, n, dz, n);
            multiply_by_derivative(cell.candidate, cell.clip, a_n, n, a_n, hidden);
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(dz + i, lanes), row.dm + i, lanes);  // kept for the second stage
            });
        }
    }

    static void finish_backward(const StagedBackwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size;
        T* const gate = p.scratch;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedBackwardRow<T>& row = p.row[r];
            activate(cell.gates, cell.clip, row.a, gate, hidden);
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                const V dk = load_lanes<V>(row.dk + i, lanes), dshare = load_lanes<V>(row.dm + i, lanes);
                const V dr = dk * load_lanes<V>(row.h_seen + i, lanes);  // (B4)
                const V others = row.dh_seen == row.dh ? load_lanes<V>(row.dh + i, lanes) : V::zero();
                store_lanes(fma(dk, load_lanes<V>(gate + i, lanes), others), row.dh_seen + i, lanes);  // (B5)
                store_lanes(cell.minimal ? dr - dshare : dr, gate + i, lanes);
            });
            multiply_by_derivative(cell.gates, cell.clip, row.a, gate, row.a, hidden);
            if (!cell.minimal)
                multiply_by_derivative(cell.gates, cell.clip, row.a + hidden, row.dm, row.a + hidden, hidden);
        }
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
