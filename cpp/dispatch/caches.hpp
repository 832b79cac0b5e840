// How large the caches of a core are, for rules that ask whether something stays in one.
#pragma once

#include "kernels/kernel_table.hpp"

namespace fusedrnn {

// Bytes.
struct CacheSizes {
    Index l1, l2;
};

// Read from the machine once; a usual size where it does not tell.
CacheSizes cache_sizes();
// For tests, until the next one.
void set_cache_sizes(CacheSizes sizes);

}  // namespace fusedrnn
