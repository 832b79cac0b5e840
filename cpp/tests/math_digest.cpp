// Prints one line per function and type: a 64-bit digest of the result bits over a fixed walk through all bit patterns,
// NaN included. AVX2, AVX-512 and NEON must print the same; the scalar build, without FMA, prints its own.

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "../kernels/math/exp.hpp"
#include "../kernels/math/sigmoid.hpp"
#include "../kernels/math/tanh.hpp"
#include "check.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;

// Any multiple of every ISA's width.
constexpr int block = 64;

template <class T>
void input_block(std::uint64_t index, T (&in)[block]) {
    for (int i = 0; i < block; ++i) {
        // Steps by the golden ratio: even over all bit patterns. Every second value is even over the interesting part.
        const std::uint64_t pattern = (index * block + static_cast<std::uint64_t>(i)) * 0x9E3779B97F4A7C15u;
        if constexpr (sizeof(T) == 4) {
            in[i] = std::bit_cast<float>(static_cast<std::uint32_t>(pattern >> 32));
        } else {
            in[i] = std::bit_cast<double>(pattern);
        }
        if (i % 2 == 1) in[i] = T(static_cast<std::int64_t>(pattern) >> 11) * T(sizeof(T) == 4 ? 0x1p-45 : 0x1p-42);
    }
}

template <class T, class Function>
void digest(const char* name, Function function) {
    using V = isa::Vec<T>;
    std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
    for (std::uint64_t index = 0; index < 40000; ++index) {
        T values[block];
        input_block(index, values);
        for (int i = 0; i < block; i += V::width) function(V::load(values + i)).store(values + i);
        unsigned char bytes[sizeof values];
        std::memcpy(bytes, values, sizeof values);
        for (unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001B3u;
    }
    std::printf("%-12s %-6s %016llx\n", name, sizeof(T) == 4 ? "float" : "double",
                static_cast<unsigned long long>(hash));
}

template <class T>
[[gnu::noinline]] void digest_all() {
    using V = isa::Vec<T>;
    digest<T>("exp", [](V x) { return isa::exp(x); });
    digest<T>("sigmoid", [](V x) { return isa::sigmoid(x); });
    digest<T>("tanh", [](V x) { return isa::tanh(x); });
}

}  // namespace

int main() {
    if (!fusedrnn_test::cpu_has_compiled_isa()) return fusedrnn_test::skipped;
    digest_all<float>();
    digest_all<double>();
    return 0;
}
