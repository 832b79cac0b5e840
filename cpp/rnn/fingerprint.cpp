#include "rnn/fingerprint.hpp"

#include <cstring>

namespace fusedrnn {
namespace {

constexpr std::uint64_t multiplier = 0x9e3779b97f4a7c15u;  // odd, 2^64 over the golden ratio

// For a given hash the step is one to one in the word. The rotation brings the top bits, which a product only moves
// up and out, back under the next one: without it two flipped signs would cancel.
inline std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
    const std::uint64_t product = (hash ^ word) * multiplier;
    return (product << 29) | (product >> 35);
}

}  // namespace

std::uint64_t fingerprint(const void* data, std::size_t bytes) {
    constexpr int lanes = 8;  // products in flight
    std::uint64_t hash[lanes] = {1, 2, 3, 4, 5, 6, 7, 8};
    const unsigned char* at = static_cast<const unsigned char*>(data);
    std::size_t left = bytes;
    for (; left >= sizeof(hash); left -= sizeof(hash), at += sizeof(hash)) {
        std::uint64_t words[lanes];
        std::memcpy(words, at, sizeof(words));
        for (int i = 0; i < lanes; ++i) hash[i] = mix(hash[i], words[i]);
    }
    std::uint64_t tail[lanes] = {};
    if (left) std::memcpy(tail, at, left);
    std::uint64_t all = bytes;
    for (int i = 0; i < lanes; ++i) all = mix(all, mix(hash[i], tail[i]));
    return all;
}

}  // namespace fusedrnn
