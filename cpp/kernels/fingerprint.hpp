// Telling whether an array changed since it was last seen, at the speed of reading it once. The same on every ISA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// One to one in either. What differs in the top bits only is brought down before the product, which moves it up.
FUSEDRNN_INLINE std::uint64_t mix(std::uint64_t hash, std::uint64_t pair) {
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15u;  // 2^64 over the golden ratio
    const std::uint64_t product = (pair ^ (pair >> 32)) * odd;
    return (hash ^ product ^ (product >> 32)) * odd;
}

// What has been read is kept in sixteen lanes of 64-bit words. Every lane has a polynomial in its words, with an odd
// base, so that a change within one word is never missed. And it has a sum of products of the words' halves, taken
// after each word has met the polynomial of those before it: whatever makes up for itself in the polynomial, as two
// flipped signs do, has changed all keys between. There a half's change counts as often as the other half says, which
// no pattern of flipped bits can know.
constexpr std::size_t lane_count = 16, stripe_bytes = lane_count * sizeof(std::uint64_t),
                      lane_vectors = stripe_bytes / sizeof(IntegerPairs);

struct Lanes {
    IntegerPairs key[lane_vectors], products[lane_vectors];
};

FUSEDRNN_INLINE void add_stripe(Lanes& to, const unsigned char* at) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lane_vectors; ++i) {
        IntegerPairs words;
        __builtin_memcpy(&words, at + i * sizeof(words), sizeof(words));
        to.products[i] += product_of_halves(words ^ to.key[i]);
        to.key[i] += words;
        to.key[i] += to.key[i] << 5;  // times 33
    }
}

FUSEDRNN_INLINE std::uint64_t all_lanes(Lanes& from, std::size_t bytes) {
    // Two lanes together go on as one: what one word changed is in one of them only.
    constexpr std::size_t half = lane_vectors / 2;
    for (std::size_t i = 0; i < half; ++i) {
        from.key[i] += from.key[i] << 5;
        from.key[i] += from.key[i + half];
        from.products[i] += from.products[i] << 7;
        from.products[i] += from.products[i + half];
    }
    std::uint64_t end[lane_count], all = bytes;
    __builtin_memcpy(end, from.key, stripe_bytes / 2);
    __builtin_memcpy(end + lane_count / 2, from.products, stripe_bytes / 2);
    // Four chains of them, then the chains.
    std::uint64_t four[4] = {1, 2, 3, 4};
    for (std::size_t i = 0; i < lane_count; ++i) four[i % 4] = mix(four[i % 4], end[i]);
    for (const std::uint64_t one : four) all = mix(all, one);
    return all;
}

// 64 bits of the contents.
std::uint64_t fingerprint(const void* data, std::size_t bytes) {
    constexpr std::uint64_t first_key = 0xd1342543de82ef95u;
    std::uint64_t begin[lane_count];
    for (std::size_t i = 0; i < lane_count; ++i) begin[i] = (2 * i + 1) * first_key;
    Lanes state = {};
    __builtin_memcpy(state.key, begin, stripe_bytes);
    const unsigned char* at = static_cast<const unsigned char*>(data);
    std::size_t left = bytes;
#pragma GCC unroll 4
    for (; left >= stripe_bytes; left -= stripe_bytes, at += stripe_bytes) add_stripe(state, at);
    if (left) {
        unsigned char tail[stripe_bytes] = {};
        __builtin_memcpy(tail, at, left);
        add_stripe(state, tail);
    }
    return all_lanes(state, bytes);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
