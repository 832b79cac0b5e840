// Reads the sizes of the caches: from the C library, else from Linux's description of the first processor.
#include "dispatch/caches.hpp"

#include <atomic>
#include <cstdio>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace fusedrnn {
namespace {

constexpr CacheSizes usual = {32 << 10, l2_bytes};

#if defined(__linux__)
// A word of a file, or nothing.
std::string word_of(const std::string& path) {
    char word[32] = "";
    if (std::FILE* file = std::fopen(path.c_str(), "re")) {
        if (std::fscanf(file, "%31s", word) != 1) word[0] = '\0';
        std::fclose(file);
    }
    return word;
}

// Of the data cache of a level; 0 where the system does not say.
Index described_size(int level) {
    for (int index = 0; index < 8; ++index) {
        const std::string cache = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
        if (word_of(cache + "level") != std::to_string(level) || word_of(cache + "type") == "Instruction") continue;
        long kilobytes = 0;
        char unit = '\0';
        if (std::sscanf(word_of(cache + "size").c_str(), "%ld%c", &kilobytes, &unit) == 2 && unit == 'K')
            return static_cast<Index>(kilobytes) << 10;
    }
    return 0;
}
#else
Index described_size(int) { return 0; }
#endif

#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
Index size_from_library(int level) { return sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE); }
#else
Index size_from_library(int) { return 0; }
#endif

Index size_of(int level, Index otherwise) {
    if (const Index size = size_from_library(level); size > 0) return size;
    if (const Index size = described_size(level); size > 0) return size;
    return otherwise;
}

// 0: not read yet. Threads that read at once find the same; no thread waits, nor does a forked child.
std::atomic<Index> l1{0}, l2{0};

}  // namespace

CacheSizes cache_sizes() {
    if (l2.load(std::memory_order_acquire) == 0) set_cache_sizes({size_of(1, usual.l1), size_of(2, usual.l2)});
    return {l1.load(std::memory_order_relaxed), l2.load(std::memory_order_relaxed)};
}

void set_cache_sizes(CacheSizes sizes) {
    l1.store(sizes.l1, std::memory_order_relaxed);
    l2.store(sizes.l2, std::memory_order_release);
}

}  // namespace fusedrnn
