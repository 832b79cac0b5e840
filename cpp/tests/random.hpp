// Numbers that are the same on every machine: integer arithmetic and exact conversions only, no <random> distributions.
#pragma once

#include <cstdint>

#include "bits.hpp"

namespace fusedrnn_test {

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

    std::uint64_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        std::uint64_t x = state_;
        x ^= x >> 33;
        x *= 0xff51afd7ed558ccdu;
        return x ^ (x >> 29);
    }
    // In [-1, 1), with as many bits as a float has, so that float and double see the same values.
    template <class T>
    T unit() {
        return static_cast<T>(static_cast<std::int32_t>(next() >> 40) - (1 << 23)) / static_cast<T>(1 << 23);
    }
    // Any bit pattern, NaN and infinity among them.
    template <class T>
    T any() {
        return from_bits<T>(static_cast<Bits<T>>(next()));
    }
    // A whole number in [-bound, bound].
    template <class T>
    T whole(int bound) {
        return static_cast<T>(static_cast<int>(next() % static_cast<std::uint64_t>(2 * bound + 1)) - bound);
    }

private:
    std::uint64_t state_;
};

}  // namespace fusedrnn_test
