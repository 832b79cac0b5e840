// One ISA's kernels. Compiled once per entry of cmake/IsaTable.cmake, each time with that ISA's flags and FUSEDRNN_ISA
// as its namespace; the table at the end is the only symbol that leaves the object.
#include "ceilings.hpp"
#include "cells/list.hpp"
#include "denormals.hpp"
#include "fingerprint.hpp"
#include "gemm/linear.hpp"
#include "gemm/outer.hpp"
#include "kernel_table.hpp"
#include "math/exp.hpp"
#include "math/sigmoid.hpp"
#include "math/tanh.hpp"
#include "pack.hpp"
#include "staged/gru.hpp"
#include "staged/lstm.hpp"
#include "staged/rnn.hpp"
#include "step/backward.hpp"
#include "step/forward.hpp"
#include "training/optimisers.hpp"
#include "training/rows.hpp"
#include "training/softmax.hpp"

#define FUSEDRNN_STRING_OF(token) #token
#define FUSEDRNN_STRING(token) FUSEDRNN_STRING_OF(token)

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <auto Kernel, class Arguments>
auto with_denormals_flushed(const Arguments& arguments) {
    const DenormalsFlushed guard;
    return Kernel(arguments);
}

template <class T>
void evaluate(MathFunction function, const T* x, T* y, Index n) {
    using V = Vec<T>;
    for (Index i = 0; i < n; i += V::width) {
        const V v = load_lanes<V>(x + i, n - i);
        switch (function) {
            case MathFunction::exp:
                store_lanes(exp(v), y + i, n - i);
                break;
            case MathFunction::tanh:
                store_lanes(tanh(v), y + i, n - i);
                break;
            case MathFunction::sigmoid:
                store_lanes(sigmoid(v), y + i, n - i);
                break;
        }
    }
}

template <class T, auto Forward, auto Backward>
constexpr StagedKernels<T> staged() {
    return {with_denormals_flushed<Forward, StagedForwardArgs<T>>,
            with_denormals_flushed<Backward, StagedBackwardArgs<T>>, nullptr, nullptr};
}
template <class T, auto Forward, auto Backward, auto SecondForward, auto SecondBackward>
constexpr StagedKernels<T> staged() {
    return {with_denormals_flushed<Forward, StagedForwardArgs<T>>,
            with_denormals_flushed<Backward, StagedBackwardArgs<T>>,
            with_denormals_flushed<SecondForward, StagedForwardArgs<T>>,
            with_denormals_flushed<SecondBackward, StagedBackwardArgs<T>>};
}

template <class T, template <class> class... CellOf>
constexpr Kernels<T> make_kernels(CellList<CellOf...>) {
    return {
        Blocking<T>::max_rows,
        Blocking<T>::enough_rows,
        Blocking<T>::columns_while_waiting,
        interleaved<T>,
        {with_denormals_flushed<Forward<T, CellOf>::run, ForwardSpan<T>>...},
        {with_denormals_flushed<Forward<T, CellOf>::project, ProjectArgs<T>>...},
        {with_denormals_flushed<Backward<T, CellOf>::run, BackwardSpan<T>>...},
        with_denormals_flushed<Linear<T>::run, LinearArgs<T>>,
        with_denormals_flushed<Outer<T>::run, OuterArgs<T>>,
        pack_micro_panel<T>,
        with_denormals_flushed<Softmax<T>::run, SoftmaxArgs<T>>,
        with_denormals_flushed<dropout<T>, DropoutArgs<T>>,
        with_denormals_flushed<sum_rows<T>, SumRowsArgs<T>>,
        {with_denormals_flushed<Optimisers<T>::sgd, UpdateArgs<T>>,
         with_denormals_flushed<Optimisers<T>::rmsprop, UpdateArgs<T>>,
         with_denormals_flushed<Optimisers<T>::adam, UpdateArgs<T>>},
        sum_of_squares<T>,
        {staged<T, StagedRnn<T>::forward, StagedRnn<T>::backward>(),
         staged<T, StagedLstm<T>::forward, StagedLstm<T>::backward>(),
         staged<T, StagedGru<T>::forward, StagedGru<T>::backward>()},
        staged<T, StagedGru<T>::prepare, StagedGru<T>::begin, StagedGru<T>::finish, StagedGru<T>::finish_backward>(),
        with_denormals_flushed<normalise<T>, NormaliseArgs<T>>,
        with_denormals_flushed<normalise_backward<T>, NormaliseBackwardArgs<T>>,
        with_denormals_flushed<blend<T>, BlendArgs<T>>,
        with_denormals_flushed<multiply<T>, MultiplyArgs<T>>,
        with_denormals_flushed<sum_products<T>, SumProductsArgs<T>>,
        evaluate<T>,
        fma_peak<T>,
        read_bandwidth<T>,
    };
}

}  // namespace

extern const KernelTable kernels;
constinit const KernelTable kernels = {
    FUSEDRNN_STRING(FUSEDRNN_ISA),
    Vec<float>::width * static_cast<Index>(sizeof(float)),
    interleaved<float>,
    FUSEDRNN_HAS_FMA,
    fingerprint,
    make_kernels<float>(Cells{}),
    make_kernels<double>(Cells{}),
};

}  // namespace fusedrnn::FUSEDRNN_ISA
