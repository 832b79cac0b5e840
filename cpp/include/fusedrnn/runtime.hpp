// Which instruction set the kernels use and how many threads: process-wide, changeable at any time.
#pragma once

#include <string>
#include <vector>

namespace fusedrnn {

// Instruction sets compiled into this library, and those of them that this machine can run, slowest first.
std::vector<std::string> compiled_isas();
std::vector<std::string> available_isas();
std::string current_isa();
// Throws std::invalid_argument naming what is available; never falls back.
void use_isa(const std::string& name);

// Threads a call may use at most. Before the first set, and without configure_from_environment(): the processors this
// process may use by its affinity and by the CPU quota of its cgroups.
int num_threads();
// Throws std::invalid_argument unless 1 <= count <= max_threads.
void set_num_threads(int count);
inline constexpr int max_threads = 4096;

// Reads FUSEDRNN_ISA and FUSEDRNN_NUM_THREADS; throws std::invalid_argument when one is no valid choice. Without the
// latter the first number of OMP_NUM_THREADS counts, where it is one.
void configure_from_environment();

}  // namespace fusedrnn
