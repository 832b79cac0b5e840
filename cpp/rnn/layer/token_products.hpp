// Products of W_ih with tokens: one for each token there is, in place of one for every row-step.
#pragma once

#include "fusedrnn/network.hpp"
#include "rnn/layer/backward.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

// sums (tokens.count, projected width): the input products of every token, each as the kernels' `project` stores it, so
// that they have the bits of a call with x in place of tokens.
template <class T>
void project_tokens(const NetworkSpec& spec, Index layer, Index direction, const PackedNetwork<T>& packed,
                    const TokenInputs<T>& tokens, T* sums, int threads);

// From the sums of each token's gate gradients, `call.token_gradients`: the gradients of W_ih, b_ih and the table.
template <class T>
void token_gradients_backward(const LayerBackward<T>& call, Index direction, const TokenInputs<T>& tokens, T* dtable,
                              int threads);

}  // namespace fusedrnn
