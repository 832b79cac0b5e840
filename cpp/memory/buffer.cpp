// Allocates aligned memory, on huge pages where it is large.
#include "memory/buffer.hpp"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fusedrnn {

void* allocate_aligned(std::size_t bytes) {
    constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;
    const std::size_t alignment = bytes >= huge_page ? huge_page : line;
    if (bytes > static_cast<std::size_t>(-1) - alignment) throw std::bad_alloc();
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded ? rounded : line);
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == huge_page) madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: fewer page walks over the weights
#endif
    return memory;
}

void free_aligned(void* memory) { std::free(memory); }

}  // namespace fusedrnn
