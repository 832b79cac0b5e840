// Telling whether an array changed since it was last seen, at the speed of reading it once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fusedrnn {

// 64 bits of the contents. A change of one 8-byte word always changes it; others do but for one chance in 2^64.
std::uint64_t fingerprint(const void* data, std::size_t bytes);

}  // namespace fusedrnn
