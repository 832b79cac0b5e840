// Rows of a table by their numbers, and the sums of gradients of each row.
#include <numeric>

#include "dispatch/work.hpp"
#include "fusedrnn/nn.hpp"

namespace fusedrnn {

template <class T>
void embed(Matrix<const T> w, std::span<const std::int64_t> tokens, T* out) {
    const auto rows = static_cast<Index>(tokens.size());
    const int threads = threads_for_elements(rows * w.columns);
    auto body = [&](int, const Team& team) {
        const Range part = part_of(rows, team.index, team.size);
        for (Index r = part.begin; r < part.end; ++r)
            std::copy_n(w.row(tokens[static_cast<std::size_t>(r)]), w.columns, out + r * w.columns);
    };
    for_shares({threads}, threads, body);
}

template <class T>
void embed_backward(std::span<const std::int64_t> tokens, Matrix<const T> dy, Matrix<T> dw) {
    // The rows of each token, one token after the other, in their order.
    std::vector<Index> first(static_cast<std::size_t>(dw.rows) + 1);
    for (const std::int64_t token : tokens) ++first[static_cast<std::size_t>(token) + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<const T*> rows(tokens.size());
    std::vector<Index> next(first.begin(), first.end() - 1);
    for (std::size_t r = 0; r < tokens.size(); ++r)
        rows[static_cast<std::size_t>(next[static_cast<std::size_t>(tokens[r])]++)] = dy.row(static_cast<Index>(r));
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const int threads = threads_for_elements(dy.rows * dy.columns);
    auto body = [&](int, const Team& team) {
        // Tokens whose rows begin in this thread's part of all rows.
        const Range part = part_of(dy.rows, team.index, team.size);
        auto begin = std::lower_bound(first.begin(), first.end() - 1, part.begin);
        for (; begin != first.end() - 1 && *begin < part.end; ++begin) {
            const Index count = *(begin + 1) - *begin;
            if (count == 0) continue;
            kernels.sum_rows({rows.data() + *begin, count, dy.columns, dw.row(begin - first.begin())});
        }
    };
    for_shares({threads}, threads, body);
}

template void embed(Matrix<const float>, std::span<const std::int64_t>, float*);
template void embed_backward(std::span<const std::int64_t>, Matrix<const float>, Matrix<float>);
template void embed(Matrix<const double>, std::span<const std::int64_t>, double*);
template void embed_backward(std::span<const std::int64_t>, Matrix<const double>, Matrix<double>);

}  // namespace fusedrnn
