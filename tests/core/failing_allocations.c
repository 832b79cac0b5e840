// For LD_PRELOAD: of the allocations that the watched libraries ask for, one fails.
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static struct {
    const char *begin, *end;
} code[8];
static int ranges = 0;
static const char* watched[2];
static atomic_long failing = 0;  // which of them fails; 0: nothing is counted
static atomic_long count = 0;

static int add(struct dl_phdr_info* info, size_t size, void* data) {
    (void)size, (void)data;
    if (!info->dlpi_name || !(strstr(info->dlpi_name, watched[0]) || strstr(info->dlpi_name, watched[1]))) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)* part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || ranges == 8) continue;
        code[ranges].begin = (const char*)info->dlpi_addr + part->p_vaddr;
        code[ranges].end = code[ranges].begin + part->p_memsz;
        ++ranges;
    }
    return 0;
}

// Libraries whose names have one of these in them; how many parts of code they have.
int watch(const char* one, const char* other) {
    watched[0] = one;
    watched[1] = other;
    ranges = 0;
    dl_iterate_phdr(add, NULL);
    return ranges;
}

// The n-th from now on.
void fail_at(long n) {
    count = 0;
    failing = n;
}

long asked(void) { return count; }

static int fails(const void* caller) {
    if (failing == 0) return 0;
    for (int i = 0; i < ranges; ++i)
        if ((const char*)caller >= code[i].begin && (const char*)caller < code[i].end && ++count == failing) {
            errno = ENOMEM;
            return 1;
        }
    return 0;
}

void* malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void* calloc(size_t n, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size); }
void* realloc(void* old, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size); }
void* aligned_alloc(size_t alignment, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}
