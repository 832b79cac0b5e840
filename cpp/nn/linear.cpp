// Linear layers over rows, alone and together with the cross-entropy of their outputs.
#include <cmath>

#include "dispatch/work.hpp"
#include "fusedrnn/nn.hpp"
#include "memory/buffer.hpp"
#include "memory/pool.hpp"
#include "nn/losses.hpp"
#include "packing/packed_cache.hpp"
#include "packing/packer.hpp"

namespace fusedrnn {
namespace {

template <class T>
struct PackedLinear {
    Buffer<T> b, w, w_backward;
};

// Pointers to the rows of the operands of a product, and scratch memory for each thread.
template <class T>
struct LinearWorkspace {
    std::vector<const T*> a, b;
    std::vector<T*> out;
    std::vector<Buffer<T>> scratch;
    Buffer<T> logits;
};

template <class T>
void point_to_rows(Matrix<T> matrix, std::vector<T*>& rows) {
    rows.resize(static_cast<std::size_t>(matrix.rows));
    for (Index r = 0; r < matrix.rows; ++r) rows[static_cast<std::size_t>(r)] = matrix.row(r);
}

struct ProductPart {
    Range rows, blocks;
};

// A thread's part of a product: rows of its own or, where there are few, columns of its own.
ProductPart part_of_product(Index rows, Index blocks, const Team& team) {
    constexpr Index rows_of_a_full_tile = 4;
    if (rows >= rows_of_a_full_tile * team.size) return {part_of(rows, team.index, team.size), {0, blocks}};
    return {{0, rows}, part_of(blocks, team.index, team.size)};
}

// out = a * packed, for a part of the rows.
template <class T>
void multiply(const Kernels<T>& kernels, const ProductPart& part, const T* const* a, T* const* out, Index depth,
              Index columns, const T* packed, const T* start, bool by_chains) {
    if (part.rows.begin == part.rows.end || part.blocks.begin == part.blocks.end) return;
    LinearArgs<T> args = {};
    args.rows = part.rows.end - part.rows.begin;
    args.a = a + part.rows.begin;
    args.out = out + part.rows.begin;
    args.depth = depth;
    args.columns = columns;
    args.b = packed;
    args.start = start;
    args.by_chains = by_chains;
    args.block_begin = part.blocks.begin;
    args.block_end = part.blocks.end;
    kernels.linear(args);
}

}  // namespace

template <class T>
struct Linear<T>::Shared {
    Index inputs, outputs;
    PackedCache<PackedLinear<T>> cache;
    Pool<LinearWorkspace<T>, 4> workspaces;
    using Lease = typename Pool<LinearWorkspace<T>, 4>::Lease;

    std::shared_ptr<const PackedLinear<T>> packed(const Params& params, bool with_backward) {
        const auto bytes = [](Index count) { return static_cast<std::size_t>(count) * sizeof(T); };
        const ParameterBytes all[] = {{params.w, bytes(outputs * inputs)}, {params.b, bytes(params.b ? outputs : 0)}};
        const auto pack = [&](PackedLinear<T>& to, const KernelTable& table, bool backward) {
            const Packer<T> packer(table);
            copy_or_zero(params.b, params.b ? outputs : 0, to.b.reserve_zeros(padded_units<T>(outputs)));
            packer.transposed(params.w, outputs, inputs, to.w);
            const RowRun rows[] = {{0, 0, outputs}};
            if (backward) packer.rows(params.w, rows, outputs, inputs, to.w_backward);
        };
        return cache.get(all, with_backward, pack);
    }

    Index output_blocks() const { return ceil_div(outputs, unit_block<T>); }
    Index input_blocks() const { return ceil_div(inputs, unit_block<T>); }
    double multiply_adds(Index rows) const {
        return static_cast<double>(rows) * static_cast<double>(inputs) * static_cast<double>(outputs);
    }

    // dw += dy^T x and db += the sum of dy over `rows` rows: a thread's part of the outputs.
    void weight_gradient(const Kernels<T>& kernels, const T* const* dy, const T* const* x, Index rows,
                         const Gradients& out, Buffer<T>& scratch, const Team& team) const {
        const Range part = part_of(outputs, team.index, team.size);
        if (part.begin == part.end || rows == 0) return;
        const OuterPartOfA<T> left = {part.begin,
                                      part.end - part.begin,
                                      {out.dw + part.begin * inputs, nullptr},
                                      {out.db ? out.db + part.begin : nullptr, nullptr}};
        const OuterB<T> right = {x, inputs};
        OuterArgs<T> args = {};
        args.rows = rows;
        args.a = dy;
        args.a_parts = &left;
        args.a_part_count = 1;
        args.b = &right;
        args.b_count = 1;
        args.scratch = scratch.reserve(outer_scratch(&right, 1));
        kernels.outer(args);
    }
};

template <class T>
Linear<T>::Linear(Index inputs, Index outputs) : shared_(new Shared{inputs, outputs, {}, {}}) {}

template <class T>
Linear<T>::~Linear() = default;

template <class T>
void Linear<T>::forward(const Params& params, Matrix<const T> x, Matrix<T> y) const {
    if (x.rows == 0) return;
    const auto packed = shared_->packed(params, false);
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const typename Shared::Lease workspace(shared_->workspaces, x.rows);
    point_to_rows(x, workspace->a);
    point_to_rows(y, workspace->out);
    const int threads = threads_for_multiply_adds<T>(shared_->multiply_adds(x.rows));
    auto body = [&](int, const Team& team) {
        multiply(kernels, part_of_product(x.rows, shared_->output_blocks(), team), workspace->a.data(),
                 workspace->out.data(), shared_->inputs, shared_->outputs, packed->w.data(), packed->b.data(), false);
    };
    for_shares({threads}, threads, body);
}

template <class T>
void Linear<T>::backward(const Params& params, Matrix<const T> x, Matrix<const T> dy, const Gradients& out) const {
    if (x.rows == 0) return;
    const auto packed = shared_->packed(params, true);
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const int threads = threads_for_multiply_adds<T>(2 * shared_->multiply_adds(x.rows));
    const typename Shared::Lease workspace(shared_->workspaces, x.rows);
    workspace->scratch.resize(static_cast<std::size_t>(threads));
    point_to_rows(dy, workspace->a);
    point_to_rows(x, workspace->b);
    if (out.dx) point_to_rows(out.dx, workspace->out);
    auto body = [&](int, const Team& team) {
        if (out.dx)
            multiply(kernels, part_of_product(x.rows, shared_->input_blocks(), team), workspace->a.data(),
                     workspace->out.data(), shared_->outputs, shared_->inputs, packed->w_backward.data(),
                     static_cast<const T*>(nullptr), true);
        shared_->weight_gradient(kernels, workspace->a.data(), workspace->b.data(), x.rows, out,
                                 workspace->scratch[static_cast<std::size_t>(team.slot)], team);
    };
    for_shares({threads}, threads, body);
}

namespace {

// The rows that count, by number.
template <class T>
std::vector<Index> counted_rows(Index rows, const Targets<T>& targets) {
    std::vector<Index> counted;
    for (Index r = 0; r < rows; ++r)
        if (targets.weights[r] != T(0)) counted.push_back(r);
    return counted;
}

}  // namespace

// Blocks of rows go from the last to the first, as reduction blocks are added, so that their size changes no bit.
template <class T>
void Linear<T>::cross_entropy(const Params& params, Matrix<const T> x, const Targets<T>& targets, double* losses,
                              const Gradients* out) const {
    std::fill_n(losses, x.rows, 0.0);
    const std::vector<Index> counted = counted_rows(x.rows, targets);
    const auto total = static_cast<Index>(counted.size());
    const Index inputs = shared_->inputs, outputs = shared_->outputs;
    if (out && out->dx && total < x.rows)
        for (Index r = 0; r < x.rows; ++r) std::fill_n(out->dx.row(r), inputs, T(0));
    if (total == 0) return;
    const auto packed = shared_->packed(params, out != nullptr);
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const int threads = threads_for_multiply_adds<T>((out ? 3 : 1) * shared_->multiply_adds(total));
    const typename Shared::Lease lease(shared_->workspaces, total);
    LinearWorkspace<T>& workspace = *lease;
    workspace.scratch.resize(static_cast<std::size_t>(threads));

    constexpr Index logit_bytes = 2 << 20;  // of a block, where a reduction block's are no more
    const Index stride = padded_units<T>(outputs);
    const Index fitting = logit_bytes / (stride * static_cast<Index>(sizeof(T))) / reduction_block;
    const Index block_rows = std::max<Index>(fitting, 1) * reduction_block;
    const Index blocks = ceil_div(total, block_rows);
    const Matrix<T> logits = {workspace.logits.reserve(std::min(total, block_rows) * stride),
                              std::min(total, block_rows), outputs, stride};
    point_to_rows(logits, workspace.out);
    workspace.a.resize(static_cast<std::size_t>(total));
    std::vector<T*> dx(static_cast<std::size_t>(out && out->dx ? total : 0));
    std::vector<std::int64_t> classes(static_cast<std::size_t>(total));
    std::vector<T> weights(static_cast<std::size_t>(total));
    for (std::size_t i = 0; i < counted.size(); ++i) {
        workspace.a[i] = x.row(counted[i]);
        if (!dx.empty()) dx[i] = out->dx.row(counted[i]);
        classes[i] = targets.classes[counted[i]];
        weights[i] = targets.weights[counted[i]];
    }
    std::vector<double> losses_of(static_cast<std::size_t>(total));

    auto body = [&](int phase, const Team& team) {
        const Index first = (blocks - 1 - phase / 2) * block_rows, rows = std::min(block_rows, total - first);
        if (phase % 2) {  // of an even phase's gradients of logits
            shared_->weight_gradient(kernels, workspace.out.data(), workspace.a.data() + first, rows, *out,
                                     workspace.scratch[static_cast<std::size_t>(team.slot)], team);
            return;
        }
        const Range part = part_of(rows, team.index, team.size);
        const ProductPart logit_part = {part, {0, shared_->output_blocks()}},
                          dx_part = {part, {0, shared_->input_blocks()}};
        multiply(kernels, logit_part, workspace.a.data() + first, workspace.out.data(), inputs, outputs,
                 packed->w.data(), packed->b.data(), false);
        const Index begin = first + part.begin;
        softmax_losses(kernels, Matrix<const T>{logits.row(part.begin), part.end - part.begin, outputs, stride},
                       {classes.data() + begin, weights.data() + begin}, losses_of.data() + begin,
                       out ? logits.row(part.begin) : nullptr);
        if (!dx.empty())
            multiply(kernels, dx_part, static_cast<const T* const*>(workspace.out.data()), dx.data() + first, outputs,
                     inputs, packed->w_backward.data(), static_cast<const T*>(nullptr), true);
    };
    const int phases = static_cast<int>(out ? 2 * blocks : blocks);
    if (out)
        for_shares({threads, phases}, threads, body);
    else {
        auto evaluate = [&](int phase, const Team& team) { body(2 * phase, team); };
        for_shares({threads, phases}, threads, evaluate);
    }
    for (std::size_t i = 0; i < counted.size(); ++i) losses[counted[i]] = losses_of[i];
}

template class Linear<float>;
template class Linear<double>;

}  // namespace fusedrnn
