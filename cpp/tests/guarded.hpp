// Arrays that notice a touch outside: the page after the last element has no access rights, so reading or writing past
// the end stops the program; what lies before the first element is filled with a pattern that must still be there.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

namespace fusedrnn_test {

template <class T>
class Guarded {
public:
    // Filled with NaN: what is read before it was written shows in the result.
    explicit Guarded(std::ptrdiff_t count) : count_(count) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        usable_ = (bytes + margin + page - 1) / page * page;
        mapped_ = usable_ + page;
        void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(static_cast<char*>(memory) + usable_, page, PROT_NONE) != 0) {
            std::perror("guard page");
            std::exit(EXIT_FAILURE);
        }
        start_ = static_cast<unsigned char*>(memory);
        std::memset(start_, pattern, usable_ - bytes);
        std::fill_n(data(), count, std::numeric_limits<T>::quiet_NaN());
    }
    Guarded(Guarded&& other) noexcept
        : count_(other.count_), usable_(other.usable_), mapped_(other.mapped_),
          start_(std::exchange(other.start_, nullptr)) {}
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    ~Guarded() {
        if (start_) munmap(start_, mapped_);
    }

    T* data() const { return reinterpret_cast<T*>(start_ + usable_) - count_; }
    T& operator[](std::ptrdiff_t i) const { return data()[i]; }
    std::ptrdiff_t size() const { return count_; }
    T* begin() const { return data(); }
    T* end() const { return data() + count_; }

    // Nothing was written before the first element.
    bool intact() const {
        const auto* end = reinterpret_cast<const unsigned char*>(data());
        return std::all_of(static_cast<const unsigned char*>(start_), end,
                           [](unsigned char byte) { return byte == pattern; });
    }

private:
    static constexpr std::size_t margin = 256;  // more than any vector or tile row is wide
    static constexpr unsigned char pattern = 0xA5;
    std::ptrdiff_t count_;
    std::size_t usable_ = 0, mapped_ = 0;
    unsigned char* start_ = nullptr;
};

}  // namespace fusedrnn_test
