// The simple RNN with options: (R2), (R3) of docs/design/cells.md, over whole rows.
#pragma once

#include "activations.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct StagedRnn {
    using V = Vec<T>;

    static void forward(const StagedForwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedRow<T>& row = p.row[r];
            for_each_lane<T>(cell.hidden_size, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                store_lanes(load_lanes<V>(row.a + i, lanes) + load_lanes<V>(row.recurrent + i, lanes), row.a + i,
                            lanes);
            });
            activate(cell.output, cell.clip, row.a, row.m, cell.hidden_size);  // (R2)
        }
    }

    static void backward(const StagedBackwardArgs<T>& p) {
        const StagedCell<T>& cell = *p.cell;
        for (Index r = 0; r < p.rows; ++r) {
            const StagedBackwardRow<T>& row = p.row[r];
            multiply_by_derivative(cell.output, cell.clip, row.a, row.dm, row.a, cell.hidden_size);  // (R3)
        }
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
