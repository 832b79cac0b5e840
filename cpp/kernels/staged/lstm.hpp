// The LSTM with options, over whole rows: section 3 of docs/design/cells.md with (O3)-(O8).
#pragma once

#include "rows.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct StagedLstm {
    using V = Vec<T>;

    // Where each gate's pre-activation lies. Coupled gates have no f.
    struct Places {
        Index f, g, o;
        explicit Places(const StagedCell<T>& cell) {
            const Index hidden = cell.hidden_size;
            f = cell.coupled ? 0 : hidden;
            g = f + hidden;
            o = g + hidden;
        }
    };

    // A row's activated gates, tanh of c, or whatever function stands for it, and work space.
    struct Values {
        T *i, *f, *g, *o, *s, *spare;
        Values(T* scratch, Index hidden) {
            const Index padded = padded_units<T>(hidden);
            i = scratch, f = i + padded, g = f + padded, o = g + padded, s = o + padded, spare = s + padded;
        }
    };

    // i, f and g of the pre-activations: (L2), (L3), (O5).
    static void activate_inputs(const StagedCell<T>& cell, const T* a, const Values& values) {
        const Index hidden = cell.hidden_size;
        const Places at(cell);
        activate(cell.gates, cell.clip, a, values.i, hidden);
        activate(cell.candidate, cell.clip, a + at.g, values.g, hidden);
        if (!cell.coupled) return activate(cell.gates, cell.clip, a + at.f, values.f, hidden);
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(V::broadcast(1) - load_lanes<V>(values.i + i, lanes), values.f + i, lanes);
        });
    }

    // c before its bound: (L4).
    FUSEDRNN_INLINE static V unbounded_c(const Values& values, const T* c_prev, Index i, Index lanes) {
        return fma(load_lanes<V>(values.f + i, lanes), load_lanes<V>(c_prev + i, lanes),
                   load_lanes<V>(values.i + i, lanes) * load_lanes<V>(values.g + i, lanes));
    }

    static void forward(const StagedForwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Index hidden = cell.hidden_size;
        const Places at(cell);
        const Values values(p.scratch, hidden);
        for (Index r = 0; r < p.rows; ++r) {
            const StagedRow<T>& row = p.row[r];
            add_recurrent(cell, row);
            activate_inputs(cell, row.a, values);
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                const V c = Clip<T>{cell.cell_clip}.value(unbounded_c(values, row.c_prev, i, lanes));  // (O6)
                store_lanes(c, row.c + i, lanes);
                if (!cell.peephole_o) return;
                const V a = load_lanes<V>(row.a + at.o + i, lanes);  // (O7)
                store_lanes(fma(load_lanes<V>(cell.peephole_o + i, lanes), c, a), row.a + at.o + i, lanes);
            });
            activate(cell.gates, cell.clip, row.a + at.o, values.o, hidden);
            if (cell.gain_c) {
                normalise_c(cell, row, values.spare);
                activate(cell.output, T(0), values.spare, values.s, hidden);
            } else {
                activate(cell.output, T(0), row.c, values.s, hidden);
            }
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(values.o + i, lanes) * load_lanes<V>(values.s + i, lanes), row.m + i,
                            lanes);  // (L5)
            });
        }
    }

    // (L1), (O4)
    static void add_recurrent(const StagedCell<T>& cell, const StagedRow<T>& row) {
        const Index hidden = cell.hidden_size;
        for (int gate = 0; gate < cell.lstm_gates(); ++gate) {
            T* const a = row.a + gate * hidden;
            const T* const recurrent = row.recurrent + gate * hidden;
            const T* const peephole = gate == 0                    ? cell.peephole_i
                                      : gate == 1 && !cell.coupled ? cell.peephole_f
                                                                   : nullptr;
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                V sum = load_lanes<V>(a + i, lanes) + load_lanes<V>(recurrent + i, lanes);
                if (peephole) sum = fma(load_lanes<V>(peephole + i, lanes), load_lanes<V>(row.c_prev + i, lanes), sum);
                store_lanes(sum, a + i, lanes);
            });
        }
    }

    // (O8)
    static void normalise_c(const StagedCell<T>& cell, const StagedRow<T>& row, T* out) {
        const Index hidden = cell.hidden_size;
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(load_lanes<V>(row.c + i, lanes), row.normal_c + i, lanes);
        });
        const auto emit = [&](Index i, Index lanes, V normal) FUSEDRNN_LAMBDA {
            store_lanes(fma(normal, load_lanes<V>(cell.gain_c + i, lanes), load_lanes<V>(cell.shift_c + i, lanes)),
                        out + i, lanes);
        };
        *row.deviation_c = normalise_row(row.normal_c, hidden, cell.epsilon, emit);
    }

    static void scale_and_shift(const StagedCell<T>& cell, const T* normal_c, T* out) {
        for_each_lane<T>(cell.hidden_size, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(fma(load_lanes<V>(normal_c + i, lanes), load_lanes<V>(cell.gain_c + i, lanes),
                            load_lanes<V>(cell.shift_c + i, lanes)),
                        out + i, lanes);
        });
    }

    static void backward(const StagedBackwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        const Values values(p.scratch, cell.hidden_size);
        for (Index r = 0; r < p.rows; ++r) {
            const StagedBackwardRow<T>& row = p.row[r];
            activate_inputs(cell, row.a, values);
            output_backward(cell, row, values);
            state_backward(cell, row, values);
        }
    }

    // From dm to the gradient of o's pre-activation, which is written, and what it adds to dc.
    static void output_backward(const StagedCell<T>& cell, const StagedBackwardRow<T>& row, const Values& values) {
        const Index hidden = cell.hidden_size;
        T* const a_o = row.a + Places(cell).o;
        const T* seen = row.c;
        if (cell.gain_c) {
            scale_and_shift(cell, row.normal_c, values.spare);
            seen = values.spare;
        }
        activate(cell.gates, cell.clip, a_o, values.o, hidden);
        activate(cell.output, T(0), seen, values.s, hidden);
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V dm = load_lanes<V>(row.dm + i, lanes);
            store_lanes(dm * load_lanes<V>(values.o + i, lanes), values.o + i, lanes);
            store_lanes(dm * load_lanes<V>(values.s + i, lanes), values.s + i, lanes);
        });
        multiply_by_derivative(cell.gates, cell.clip, a_o, values.s, a_o, hidden);    // (L12)
        multiply_by_derivative(cell.output, T(0), seen, values.o, values.o, hidden);  // (L8)
        if (cell.gain_c) {
            for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(values.o + i, lanes), row.dnormal_c + i, lanes);
            });
            normalise_row_backward(row.dnormal_c, cell.gain_c, row.normal_c, *row.deviation_c, values.o, hidden);
        }
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            V dc = load_lanes<V>(row.dc + i, lanes) + load_lanes<V>(values.o + i, lanes);
            if (cell.peephole_o) dc = fma(load_lanes<V>(cell.peephole_o + i, lanes), load_lanes<V>(a_o + i, lanes), dc);
            store_lanes(dc, row.dc + i, lanes);
        });
    }

    // From dc to the other gates and to c'.
    static void state_backward(const StagedCell<T>& cell, const StagedBackwardRow<T>& row, const Values& values) {
        const Index hidden = cell.hidden_size;
        const Places at(cell);
        T *const di = values.o, *const df = values.s, *const dg = values.spare;
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V c_prev = load_lanes<V>(row.c_prev + i, lanes);
            const V dc = Clip<T>{cell.cell_clip}.gradient(unbounded_c(values, row.c_prev, i, lanes),
                                                          load_lanes<V>(row.dc + i, lanes));
            const V of_f = dc * c_prev, of_i = dc * load_lanes<V>(values.g + i, lanes);
            store_lanes(cell.coupled ? of_i - of_f : of_i, di + i, lanes);
            store_lanes(of_f, df + i, lanes);
            store_lanes(dc * load_lanes<V>(values.i + i, lanes), dg + i, lanes);
            store_lanes(dc * load_lanes<V>(values.f + i, lanes), row.dc + i, lanes);  // (L14)
        });
        multiply_by_derivative(cell.gates, cell.clip, row.a, di, row.a, hidden);  // (L9)
        if (!cell.coupled)
            multiply_by_derivative(cell.gates, cell.clip, row.a + at.f, df, row.a + at.f, hidden);  // (L10)
        multiply_by_derivative(cell.candidate, cell.clip, row.a + at.g, dg, row.a + at.g, hidden);  // (L11)
        if (cell.peephole_i) add_peepholes(row.dc, cell.peephole_i, row.a, hidden);
        if (cell.peephole_f && !cell.coupled) add_peepholes(row.dc, cell.peephole_f, row.a + at.f, hidden);
    }

    static void add_peepholes(T* dc, const T* peephole, const T* delta, Index hidden) {
        for_each_lane<T>(hidden, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(
                fma(load_lanes<V>(peephole + i, lanes), load_lanes<V>(delta + i, lanes), load_lanes<V>(dc + i, lanes)),
                dc + i, lanes);
        });
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
