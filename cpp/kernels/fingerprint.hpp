// Telling whether an array changed since it was last seen, at the speed of reading it once. The same on every ISA.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// For a given hash one to one in the word, so that a change of one word is never missed. The rotation brings the top
// bits, which a product only moves up and out, back under the next one: without it two flipped signs would cancel.
[[gnu::always_inline]] inline std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
    constexpr std::uint64_t multiplier = 0x9e3779b97f4a7c15u;  // odd, 2^64 over the golden ratio
    const std::uint64_t product = (hash ^ word) * multiplier;
    return (product << 29) | (product >> 35);
}

// 64 bits of the contents: many lanes, so that the compiler has vectors full of independent products in flight.
std::uint64_t fingerprint(const void* data, std::size_t bytes) {
    constexpr std::size_t lanes = 32, width = lanes * sizeof(std::uint64_t);
    std::uint64_t hash[lanes], words[lanes];
    for (std::size_t i = 0; i < lanes; ++i) hash[i] = i + 1;
    const unsigned char* at = static_cast<const unsigned char*>(data);
    std::size_t left = bytes;
    for (; left >= width; left -= width, at += width) {
        __builtin_memcpy(words, at, width);
        for (std::size_t i = 0; i < lanes; ++i) hash[i] = mix(hash[i], words[i]);
    }
    std::uint64_t tail[lanes] = {};
    if (left) __builtin_memcpy(tail, at, left);
    std::uint64_t all = bytes;
    for (std::size_t i = 0; i < lanes; ++i) all = mix(all, mix(hash[i], tail[i]));
    return all;
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
