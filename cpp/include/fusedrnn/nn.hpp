// What stands around a recurrent network: linear layers, cross-entropy, embeddings, dropout, optimisers.
//
// No result depends on the number of threads. Matrices are row-major. What a pointer points to is borrowed for the call
// only, and what is written overlaps nothing that is read, except where it says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace fusedrnn {

using Index = std::ptrdiff_t;

// Rows of contiguous values, `stride` elements apart.
template <class T>
struct Matrix {
    T* data = nullptr;
    Index rows = 0, columns = 0, stride = 0;
    T* row(Index r) const { return data + r * stride; }
    explicit operator bool() const { return data != nullptr; }
};

// Rows to predict: the class of each, and what its loss counts. A weight of 0 leaves a row out.
template <class T>
struct Targets {
    const std::int64_t* classes;  // (rows), each in [0, outputs) where its weight is not 0
    const T* weights;             // (rows)
};

// y = x w^T + b
template <class T>
class Linear {
public:
    struct Params {
        const T* w;  // (outputs, inputs)
        const T* b;  // (outputs), or null
    };
    struct Gradients {
        Matrix<T> dx;  // as x, written; or null
        T* dw;         // as w, added to
        T* db;         // as b, added to; or null
    };

    Linear(Index inputs, Index outputs);
    ~Linear();

    void forward(const Params& params, Matrix<const T> x, Matrix<T> y) const;
    void backward(const Params& params, Matrix<const T> x, Matrix<const T> dy, const Gradients& out) const;

    // The cross-entropy of softmax(x w^T + b): losses (rows), in nats, not weighted; 0 for rows that are left out.
    // Where `out` is given the gradients of sum_r weights[r] losses[r]; dx of rows that are left out is 0. Logits are
    // kept for a block of rows at a time.
    void cross_entropy(const Params& params, Matrix<const T> x, const Targets<T>& targets, double* losses,
                       const Gradients* out) const;

private:
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

// The same of given logits. The gradient, where it is given, is written; it may be the logits.
template <class T>
void cross_entropy(Matrix<const T> logits, const Targets<T>& targets, double* losses, Matrix<T> gradient);

// out[r] = w[tokens[r]];  w (tokens, width), tokens in range
template <class T>
void embed(Matrix<const T> w, std::span<const std::int64_t> tokens, T* out);
// dw[tokens[r]] += dy[r]
template <class T>
void embed_backward(std::span<const std::int64_t> tokens, Matrix<const T> dy, Matrix<T> dw);

// out[i] = x[i] / (1 - probability), or 0 with that probability: the same ones for the same seed. out may be x.
template <class T>
void dropout(const T* x, T* out, Index count, double probability, std::uint64_t seed);

// One parameter of an optimiser's update; kernels/args/training.hpp says what the members mean.
template <class T>
struct Updated {
    T* param;
    const T* gradient;
    T *first, *second;  // null where the rule has none
    Index count;
};
struct UpdateRule {
    int optimiser;  // Optimiser
    double scale, rate, decay, decoupled, momentum, second_momentum, dampening, epsilon, second_scale;
    bool nesterov, first_step;
};
template <class T>
void update(std::span<const Updated<T>> params, const UpdateRule& rule);

// Of each array its sum of squares.
template <class T>
std::vector<double> sums_of_squares(std::span<const std::span<const T>> arrays);

}  // namespace fusedrnn
