// The cells, in the order of their kinds. The table of kernels and the tests of cells are made from this list.
#pragma once

#include "cells/gru.hpp"
#include "cells/lstm.hpp"
#include "cells/rnn.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <template <class> class... CellOf>
struct CellList {};

using Cells = CellList<Rnn, Lstm, Gru>;

template <template <class> class... CellOf>
constexpr bool has_all_kinds_in_order(CellList<CellOf...>) {
    int index = 0;
    return ((CellOf<float>::kind == CellKind{index++}) && ...) && index == cell_kind_count;
}
static_assert(has_all_kinds_in_order(Cells{}));

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
