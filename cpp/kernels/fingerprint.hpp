// Telling whether an array changed since it was last seen, at the speed of reading it once. The same on every ISA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Vectors as the compiler has them: no instruction here that it would not choose itself.
constexpr std::size_t hash_bytes = Vec<float>::width * sizeof(float) < 16 ? 16 : Vec<float>::width * sizeof(float);
using HashWords [[gnu::vector_size(hash_bytes)]] = std::uint32_t;
using HashPairs [[gnu::vector_size(hash_bytes)]] = std::uint64_t;

// For a given hash one to one in the words, so that a change of one word is never missed. A product only moves a difference
// up: the rotation brings what is in the top bits of each half (a sign, an exponent) to the bottom of the other, under the
// next product.
FUSEDRNN_INLINE HashWords mix(HashWords hash, HashWords words) {
    const auto product = reinterpret_cast<HashPairs>((hash ^ words) * 0x85ebca77u);  // odd, its bits mixed
    return reinterpret_cast<HashWords>((product << 11) | (product >> 53));
}

// One to one in either. What differs in the top bits only is brought down before the product, which moves it up.
FUSEDRNN_INLINE std::uint64_t mix(std::uint64_t hash, std::uint64_t pair) {
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15u;  // 2^64 over the golden ratio
    const std::uint64_t product = (pair ^ (pair >> 32)) * odd;
    return (hash ^ product ^ (product >> 32)) * odd;
}

// 64 bits of the contents: 32 pairs of words at a time, so that as many chains of products are in flight.
std::uint64_t fingerprint(const void* data, std::size_t bytes) {
    constexpr std::size_t width = 256, vectors = width / hash_bytes, pairs = width / sizeof(std::uint64_t);
    HashWords hash[vectors];
    std::uint64_t begin[pairs];
    for (std::size_t i = 0; i < pairs; ++i) begin[i] = i + 1;
    __builtin_memcpy(hash, begin, width);
    const auto add = [&](const unsigned char* at) __attribute__((always_inline)) {
#pragma GCC unroll 16
        for (std::size_t i = 0; i < vectors; ++i) {
            HashWords words;
            __builtin_memcpy(&words, at + i * hash_bytes, hash_bytes);
            hash[i] = mix(hash[i], words);
        }
    };
    const unsigned char* at = static_cast<const unsigned char*>(data);
    std::size_t left = bytes;
    for (; left >= width; left -= width, at += width) add(at);
    if (left) {
        unsigned char tail[width] = {};
        __builtin_memcpy(tail, at, left);
        add(tail);
    }
    std::uint64_t end[pairs], all = bytes;
    __builtin_memcpy(end, hash, width);
    // Four chains of lanes, then the chains.
    std::uint64_t four[4] = {1, 2, 3, 4};
    for (std::size_t i = 0; i < pairs; ++i) four[i % 4] = mix(four[i % 4], end[i]);
    for (const std::uint64_t one : four) all = mix(all, one);
    return all;
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
