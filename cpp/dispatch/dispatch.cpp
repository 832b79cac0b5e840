// Chooses the kernel table of the process: the best one that the machine runs, or the one that was asked for by name.
// Reads FUSEDRNN_ISA, FUSEDRNN_NUM_THREADS and OMP_NUM_THREADS.
#include "dispatch/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch/cpu_features.hpp"
#include "fusedrnn/runtime.hpp"
#include "isa_list.hpp"
#include "threads/processors.hpp"

// isa_list.hpp, written by the build from its ISA table: FUSEDRNN_FOR_EACH_ISA(visit) is visit(scalar) visit(avx2) ...
#define FUSEDRNN_DECLARE(isa)         \
    namespace fusedrnn::isa {         \
    extern const KernelTable kernels; \
    }
FUSEDRNN_FOR_EACH_ISA(FUSEDRNN_DECLARE)
#undef FUSEDRNN_DECLARE

namespace fusedrnn {
namespace {

bool machine_runs(const std::string& isa) {
    const CpuFeatures& cpu = cpu_features();
    if (isa == "scalar") return true;
    if (isa == "avx2") return cpu.avx2_fma;
    if (isa == "avx512") return cpu.avx512_skylake;
    if (isa == "neon") return cpu.neon;
    return false;
}

const std::vector<const KernelTable*>& compiled() {
    static const std::vector<const KernelTable*> tables = {
#define FUSEDRNN_ADDRESS(isa) &isa::kernels,
        FUSEDRNN_FOR_EACH_ISA(FUSEDRNN_ADDRESS)
#undef FUSEDRNN_ADDRESS
    };
    return tables;
}

const KernelTable* best() {
    const KernelTable* chosen = nullptr;
    for (const KernelTable* table : compiled())
        if (machine_runs(table->name)) chosen = table;
    return chosen;
}

// Without order: the tables are constants, there before any thread is; a call uses the one it has read.
std::atomic<const KernelTable*>& current() {
    static std::atomic<const KernelTable*> table{best()};
    return table;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

// The first number of the list in OMP_NUM_THREADS; 0 if it has none that is usable here.
int threads_of_openmp() {
    const char* const text = std::getenv("OMP_NUM_THREADS");
    if (!text) return 0;
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    while (*end == ' ') ++end;
    return (*end == '\0' || *end == ',') && count >= 1 && count <= max_threads ? static_cast<int>(count) : 0;
}

}  // namespace

const KernelTable& current_kernels() { return *current().load(std::memory_order_relaxed); }

std::vector<std::string> compiled_isas() {
    std::vector<std::string> names;
    for (const KernelTable* table : compiled()) names.emplace_back(table->name);
    return names;
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const KernelTable* table : compiled())
        if (machine_runs(table->name)) names.emplace_back(table->name);
    return names;
}

std::string current_isa() { return current_kernels().name; }

void use_isa(const std::string& name) {
    for (const KernelTable* table : compiled())
        if (name == table->name && machine_runs(name)) {
            current().store(table, std::memory_order_relaxed);
            return;
        }
    throw std::invalid_argument("isa: '" + name + "' is not available here; available: " + joined(available_isas()));
}

void configure_from_environment() {
    if (const char* isa = std::getenv("FUSEDRNN_ISA"); isa && *isa) {
        try {
            use_isa(isa);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(std::string("FUSEDRNN_ISA: ") + error.what());
        }
    }
    if (const char* threads = std::getenv("FUSEDRNN_NUM_THREADS"); threads && *threads) {
        char* end = nullptr;
        const long count = std::strtol(threads, &end, 10);
        if (*end != '\0' || count < 1 || count > max_threads)
            throw std::invalid_argument("FUSEDRNN_NUM_THREADS: expected an integer from 1 to " +
                                        std::to_string(max_threads) + ", got '" + std::string(threads) + "'");
        set_num_threads(static_cast<int>(count));
    } else if (const int count_for_openmp = threads_of_openmp(); count_for_openmp > 0) {
        set_num_threads(count_for_openmp);
    }
    // The number of threads is settled before the first call, not by it: a child that forked in the middle of that
    // would wait for it for ever.
    current_kernels();
    num_threads();
    processors_now();
}

}  // namespace fusedrnn
