// Every Vec operation of one ISA, lane by lane, against plain C++.

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../kernels/simd/simd.hpp"
#include "check.hpp"

namespace {

namespace simd = fusedrnn::FUSEDRNN_ISA;
using fusedrnn_test::Checks;

#if defined(FUSEDRNN_ISA_SCALAR)
constexpr bool has_fma = false;
#else
constexpr bool has_fma = true;
#endif

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
Bits<T> bits(T x) {
    return std::bit_cast<Bits<T>>(x);
}

template <class T>
T from_bits(Bits<T> b) {
    return std::bit_cast<T>(b);
}

// The same bits, or both NaN (which NaN an operation makes is the CPU's business).
template <class T>
bool same(T a, T b) {
    return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b));
}

class Random {
  public:
    std::uint64_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        std::uint64_t x = state_;
        x ^= x >> 33;
        x *= 0xff51afd7ed558ccdu;
        return x ^ (x >> 29);
    }
    template <class T>
    T any() {  // any bit pattern, NaN and infinity among them
        return from_bits<T>(static_cast<Bits<T>>(next()));
    }

  private:
    std::uint64_t state_ = 20;
};

template <class T>
std::vector<T> values() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> list;
    for (T magnitude : {T(0), Limits::denorm_min(), Limits::denorm_min() * 3, Limits::min() - Limits::denorm_min(),
                        Limits::min(), T(0.25), T(0.5), T(1) - Limits::epsilon() / 2, T(1), T(1) + Limits::epsilon(),
                        T(1.5), T(2), T(2.5), T(3.5), T(1) / Limits::epsilon() - T(0.5), T(1) / Limits::epsilon(),
                        T(2) / Limits::epsilon() + 2, T(1e9), Limits::max(), Limits::infinity(), Limits::quiet_NaN()}) {
        list.push_back(magnitude);
        list.push_back(-magnitude);
    }
    Random random;
    for (int i = 0; i < 86; ++i) list.push_back(random.any<T>());
    return list;
}

// Runs `operation` on vectors whose lanes are (a[i], b[i], c[i]) and compares every lane with `expected`.
template <class T, class Operation, class Expected>
void check_lanes(Checks& checks, const char* name, const std::vector<T>& a, const std::vector<T>& b,
                 const std::vector<T>& c, Operation operation, Expected expected) {
    using V = simd::Vec<T>;
    const std::size_t count = a.size() / V::width * V::width;
    for (std::size_t i = 0; i < count; i += V::width) {
        T result[V::width];
        operation(V::load(&a[i]), V::load(&b[i]), V::load(&c[i])).store(result);
        for (int lane = 0; lane < V::width; ++lane) {
            const std::size_t j = i + static_cast<std::size_t>(lane);
            const T want = expected(a[j], b[j], c[j]);
            checks.check(same(result[lane], want), "%s<%s>(%a, %a, %a) lane %d: %a, expected %a", name,
                         sizeof(T) == 4 ? "float" : "double", double(a[j]), double(b[j]), double(c[j]), lane,
                         double(result[lane]), double(want));
        }
    }
}

template <class T>
void test_arithmetic(Checks& checks) {
    using V = simd::Vec<T>;
    const std::vector<T> list = values<T>();
    std::vector<T> a, b, c;
    Random random;
    for (T x : list) {
        for (T y : list) {
            a.push_back(x);
            b.push_back(y);
            c.push_back(list[random.next() % list.size()]);
        }
    }
    const auto run = [&](const char* name, auto operation, auto expected) {
        check_lanes<T>(checks, name, a, b, c, operation, expected);
    };
    run("+", [](V x, V y, V) { return x + y; }, [](T x, T y, T) { return x + y; });
    run("-", [](V x, V y, V) { return x - y; }, [](T x, T y, T) { return x - y; });
    run("*", [](V x, V y, V) { return x * y; }, [](T x, T y, T) { return x * y; });
    run("/", [](V x, V y, V) { return x / y; }, [](T x, T y, T) { return x / y; });
    run("unary -", [](V x, V, V) { return -x; }, [](T x, T, T) { return -x; });
    run("abs", [](V x, V, V) { return simd::abs(x); }, [](T x, T, T) { return std::fabs(x); });
    run("min", [](V x, V y, V) { return simd::min(x, y); }, [](T x, T y, T) { return x < y ? x : y; });
    run("max", [](V x, V y, V) { return simd::max(x, y); }, [](T x, T y, T) { return x > y ? x : y; });
    run("copysign", [](V x, V y, V) { return simd::copysign(x, y); }, [](T x, T y, T) { return std::copysign(x, y); });
    run("round_to_nearest", [](V x, V, V) { return simd::round_to_nearest(x); },
        [](T x, T, T) { return std::nearbyint(x); });
    run("select less", [](V x, V y, V z) { return select(less(x, y), x, z); },
        [](T x, T y, T z) { return x < y ? x : z; });
    run("select less_equal", [](V x, V y, V z) { return select(less_equal(x, y), x, z); },
        [](T x, T y, T z) { return x <= y ? x : z; });
    run("select is_nan", [](V x, V y, V z) { return select(is_nan(x), y, z); },
        [](T x, T y, T z) { return std::isnan(x) ? y : z; });
    run("broadcast", [](V, V, V) { return V::broadcast(T(-2.5)); }, [](T, T, T) { return T(-2.5); });
    run("zero", [](V, V, V) { return V::zero(); }, [](T, T, T) { return T(0); });
    run("fma", [](V x, V y, V z) { return simd::fma(x, y, z); },
        [](T x, T y, T z) { return has_fma ? std::fma(x, y, z) : x * y + z; });
    run("fma with negated operands", [](V x, V y, V z) { return simd::fma(-x, y, -z); },
        [](T x, T y, T z) { return has_fma ? std::fma(-x, y, -z) : -x * y - z; });
    run("fms", [](V x, V y, V z) { return simd::fms(x, y, z); },
        [](T x, T y, T z) { return has_fma ? std::fma(x, y, -z) : x * y - z; });
    run("fnma", [](V x, V y, V z) { return simd::fnma(x, y, z); },
        [](T x, T y, T z) { return has_fma ? std::fma(-x, y, z) : z - x * y; });

    // Operands near one another in size: the case in which one rounding and two differ.
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto near_one = [&] { return std::ldexp(T(random.next() >> 11), -53) + T(0.5); };
        a[i] = near_one();
        b[i] = near_one();
        c[i] = (random.next() & 1) ? -a[i] * b[i] : near_one();
    }
    run("fma near one", [](V x, V y, V z) { return simd::fma(x, y, z); },
        [](T x, T y, T z) { return has_fma ? std::fma(x, y, z) : x * y + z; });
}

template <class T>
void test_scaling(Checks& checks) {
    using V = simd::Vec<T>;
    const std::vector<T> list = values<T>();
    std::vector<T> a, n;
    for (T x : list) {
        for (int k = -2100; k <= 2100; k += (k < -1200 || k > 1200) ? 50 : 3) {
            a.push_back(x);
            n.push_back(T(k));
        }
        for (int k = -300; k <= 300; ++k) {
            a.push_back(x);
            n.push_back(T(k));
        }
    }
    // Results around half of the smallest subnormal and in the subnormals: where a second rounding would show.
    Random random;
    constexpr int lowest = sizeof(T) == 4 ? -149 : -1074;
    for (int i = 0; i < 40000; ++i) {
        const int exponent = static_cast<int>(random.next() % 200) - 100;
        const T x = std::ldexp(T(1) + std::ldexp(T(random.next() >> 11), -53), exponent);
        const T with_few_bits = std::ldexp(std::nearbyint(std::ldexp(x, 3 - exponent)), exponent - 3);
        a.push_back((random.next() & 1) ? x : -with_few_bits);
        n.push_back(T(lowest - exponent + static_cast<int>(random.next() % 30) - 4));
    }
    check_lanes<T>(
        checks, "scale_by_power_of_two", a, n, a, [](V x, V k, V) { return scale_by_power_of_two(x, k); },
        [](T x, T k, T) { return std::ldexp(x, static_cast<int>(k)); });

    a.clear();
    n.clear();
    constexpr int reach = sizeof(T) == 4 ? 240 : 2030;
    for (int i = 0; i < 100000; ++i) {
        a.push_back(std::ldexp(T(1) + std::ldexp(T(random.next() >> 11), -53), -static_cast<int>(random.next() & 1)));
        n.push_back(T(static_cast<int>(random.next() % (2 * reach + 1)) - reach));
    }
    check_lanes<T>(
        checks, "scale_near_one", a, n, a, [](V x, V k, V) { return scale_near_one(x, k); },
        [](T x, T k, T) { return std::ldexp(x, static_cast<int>(k)); });

    constexpr int mantissa_bits = std::numeric_limits<T>::digits - 1;
    check_lanes<T>(
        checks, "low_bits_to_exponent", a, n, a, [](V x, V, V) { return low_bits_to_exponent(x); },
        [](T x, T, T) { return from_bits<T>(static_cast<Bits<T>>(bits(x) << mantissa_bits)); });

    // Both are near one: the product is normal.
    for (T& k : n) k = std::ldexp(T(1), static_cast<int>(random.next() % 101) - 50);
    check_lanes<T>(
        checks, "multiply_by_exponent", a, n, a, [](V x, V power, V) { return multiply_by_exponent(x, power); },
        [](T x, T power, T) { return x * power; });
}

// Memory whose last byte is the last one that may be touched: the page after it has no access rights.
class GuardedPage {
  public:
    GuardedPage() : size_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
        void* p = mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(static_cast<char*>(p) + size_, size_, PROT_NONE) != 0) {
            std::perror("guard page");
            std::exit(EXIT_FAILURE);
        }
        start_ = static_cast<char*>(p);
    }
    ~GuardedPage() { munmap(start_, 2 * size_); }
    GuardedPage(const GuardedPage&) = delete;
    GuardedPage& operator=(const GuardedPage&) = delete;

    template <class T>
    T* end() const {
        return reinterpret_cast<T*>(start_ + size_);
    }

  private:
    std::size_t size_;
    char* start_;
};

template <class T>
void test_memory(Checks& checks) {
    using V = simd::Vec<T>;
    const GuardedPage page;
    const char* type = sizeof(T) == 4 ? "float" : "double";
    // Signalling and quiet NaNs and -0 must go through loads and stores unchanged, so everything is compared as bits.
    T source[V::width];
    for (int lane = 0; lane < V::width; ++lane) source[lane] = T(lane) + T(0.5);
    source[V::width - 1] = from_bits<T>(static_cast<Bits<T>>(~Bits<T>(0) << 2 | 1));
    source[0] = -T(0);

    for (int count = 0; count <= V::width; ++count) {
        T* const edge = page.end<T>() - count;
        std::memcpy(edge, source, sizeof(T) * static_cast<std::size_t>(count));
        T loaded[V::width];
        V::load_first(edge, count).store(loaded);
        for (int lane = 0; lane < V::width; ++lane) {
            const T want = lane < count ? source[lane] : T(0);
            checks.check(bits(loaded[lane]) == bits(want), "load_first<%s>(%d) lane %d: %a", type, count, lane,
                         double(loaded[lane]));
        }

        constexpr int margin = 4;
        T* const row = page.end<T>() - count - margin;
        std::memset(row, 0xA5, sizeof(T) * static_cast<std::size_t>(count + margin));
        V::load(source).store_first(edge, count);
        checks.check(std::memcmp(edge, source, sizeof(T) * static_cast<std::size_t>(count)) == 0,
                     "store_first<%s>(%d)", type, count);

        T buffer[V::width + 2 * margin];
        std::memset(buffer, 0xA5, sizeof buffer);
        V::load(source).store_first(buffer + margin, count);
        for (int i = 0; i < V::width + 2 * margin; ++i) {
            T canary;
            std::memset(&canary, 0xA5, sizeof canary);
            const bool written = i >= margin && i < margin + count;
            checks.check(bits(buffer[i]) == bits(written ? source[i - margin] : canary),
                         "store_first<%s>(%d) at offset %d", type, count, i - margin);
        }
    }

    // Unaligned, and up to the very end of the page.
    for (int shift = 0; shift < 8; ++shift) {
        T* const p = page.end<T>() - V::width - shift;
        V::load(source).store(p);
        T loaded[V::width];
        V::load(p).store(loaded);
        checks.check(std::memcmp(loaded, source, sizeof source) == 0, "load, store <%s> %d short of the page", type,
                     shift);
    }
    alignas(64) char unaligned[sizeof(T) * V::width + 1];
    T* const odd = reinterpret_cast<T*>(unaligned + 1);
    V::load(source).store(odd);
    checks.check(std::memcmp(unaligned + 1, source, sizeof source) == 0, "store<%s> at an odd address", type);
}

template <class T>
[[gnu::noinline]] void test_type(Checks& checks) {
    test_arithmetic<T>(checks);
    test_scaling<T>(checks);
    test_memory<T>(checks);
}

[[gnu::noinline]] int run() {
    Checks checks;
    static_assert(simd::Vec<float>::width == 2 * simd::Vec<double>::width || simd::Vec<float>::width == 1);
    static_assert(std::is_same_v<simd::Vec<float>::Scalar, float> && std::is_same_v<simd::Vec<double>::Scalar, double>);
    test_type<float>(checks);
    test_type<double>(checks);
    return checks.finish();
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
