// Memory for kernels: aligned to cache lines, on huge pages where it is large.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace fusedrnn {

void* allocate_aligned(std::size_t bytes);
void free_aligned(void* memory);

// A state or a gradient that is not given is zero.
template <class T>
void copy_or_zero(const T* from, std::ptrdiff_t count, T* to) {
    if (from)
        std::copy_n(from, count, to);
    else
        std::fill_n(to, count, T(0));
}

template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::ptrdiff_t count) { reserve(count); }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { free_aligned(data_); }

    // Room for `count` elements; what was in it is lost when it has to grow.
    T* reserve(std::ptrdiff_t count) {
        if (count > capacity_) {
            free_aligned(std::exchange(data_, nullptr));
            capacity_ = 0;
            data_ = static_cast<T*>(allocate_aligned(static_cast<std::size_t>(count) * sizeof(T)));
            capacity_ = count;
        }
        return data_;
    }
    T* reserve_zeros(std::ptrdiff_t count) {
        reserve(count);
        if (count > 0) std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(count) * sizeof(T));
        return data_;
    }
    T* data() const { return data_; }
    std::size_t bytes() const { return static_cast<std::size_t>(capacity_) * sizeof(T); }

private:
    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
    }
    T* data_ = nullptr;
    std::ptrdiff_t capacity_ = 0;
};

}  // namespace fusedrnn
