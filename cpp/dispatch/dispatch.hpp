// The kernels in force.
#pragma once

#include "kernels/kernel_table.hpp"

namespace fusedrnn {

const KernelTable& current_kernels();

}  // namespace fusedrnn
