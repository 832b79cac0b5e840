// Numbers seen as bits, and their types by name.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace fusedrnn_test {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
Bits<T> bits(T x) {
    return std::bit_cast<Bits<T>>(x);
}
template <class T>
T from_bits(Bits<T> b) {
    return std::bit_cast<T>(b);
}

template <class T>
constexpr const char* type_name = sizeof(T) == 4 ? "float" : "double";

}  // namespace fusedrnn_test
