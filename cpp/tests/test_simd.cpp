// Every Vec operation of one ISA, lane by lane, against plain C++.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../kernels/simd/simd.hpp"
#include "../kernels/simd/target.hpp"
#include "bits.hpp"
#include "check.hpp"
#include "guarded.hpp"
#include "random.hpp"

namespace {

namespace simd = fusedrnn::FUSEDRNN_ISA;
using fusedrnn_test::bits;
using fusedrnn_test::Bits;
using fusedrnn_test::Checks;
using fusedrnn_test::from_bits;
using fusedrnn_test::Guarded;
using fusedrnn_test::Random;
using fusedrnn_test::type_name;

// The same bits, or both NaN (which NaN an operation makes is the CPU's business).
template <class T>
bool same(T a, T b) {
    return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b));
}

template <class T>
std::vector<T> values() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> list;
    for (T magnitude : {T(0),
                        Limits::denorm_min(),
                        Limits::denorm_min() * 3,
                        Limits::min() - Limits::denorm_min(),
                        Limits::min(),
                        T(0.25),
                        T(0.5),
                        T(1) - Limits::epsilon() / 2,
                        T(1),
                        T(1) + Limits::epsilon(),
                        T(1.5),
                        T(2),
                        T(2.5),
                        T(3.5),
                        T(1) / Limits::epsilon() - T(0.5),
                        T(1) / Limits::epsilon(),
                        T(2) / Limits::epsilon() + 2,
                        T(1e9),
                        Limits::max(),
                        Limits::infinity(),
                        Limits::quiet_NaN()}) {
        list.push_back(magnitude);
        list.push_back(-magnitude);
    }
    Random random(20);
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
            checks.check(same(result[lane], want), "%s<%s>(%a, %a, %a) lane %d: %a, expected %a", name, type_name<T>,
                         double(a[j]), double(b[j]), double(c[j]), lane, double(result[lane]), double(want));
        }
    }
}

template <class T>
void test_arithmetic(Checks& checks) {
    using V = simd::Vec<T>;
    const std::vector<T> list = values<T>();
    std::vector<T> a, b, c;
    Random random(20);
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
    run(
        "select less", [](V x, V y, V z) { return select(less(x, y), x, z); },
        [](T x, T y, T z) { return x < y ? x : z; });
    run("broadcast", [](V, V, V) { return V::broadcast(T(-2.5)); }, [](T, T, T) { return T(-2.5); });
    run("zero", [](V, V, V) { return V::zero(); }, [](T, T, T) { return T(0); });
    run(
        "fma", [](V x, V y, V z) { return simd::fma(x, y, z); },
        [](T x, T y, T z) { return FUSEDRNN_HAS_FMA ? std::fma(x, y, z) : x * y + z; });
    run(
        "fma with negated operands", [](V x, V y, V z) { return simd::fma(-x, y, -z); },
        [](T x, T y, T z) { return FUSEDRNN_HAS_FMA ? std::fma(-x, y, -z) : -x * y - z; });
    run(
        "fms", [](V x, V y, V z) { return simd::fms(x, y, z); },
        [](T x, T y, T z) { return FUSEDRNN_HAS_FMA ? std::fma(x, y, -z) : x * y - z; });
    run(
        "fnma", [](V x, V y, V z) { return simd::fnma(x, y, z); },
        [](T x, T y, T z) { return FUSEDRNN_HAS_FMA ? std::fma(-x, y, z) : z - x * y; });

    // Operands near one another in size: the case in which one rounding and two differ.
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto near_one = [&] { return std::ldexp(T(random.next() >> 11), -53) + T(0.5); };
        a[i] = near_one();
        b[i] = near_one();
        c[i] = (random.next() & 1) ? -a[i] * b[i] : near_one();
    }
    run(
        "fma near one", [](V x, V y, V z) { return simd::fma(x, y, z); },
        [](T x, T y, T z) { return FUSEDRNN_HAS_FMA ? std::fma(x, y, z) : x * y + z; });
}

template <class T>
void test_scaling(Checks& checks) {
    using V = simd::Vec<T>;
    Random random(20);
    std::vector<T> a, n;
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

template <class T>
void test_memory(Checks& checks) {
    using V = simd::Vec<T>;
    const Guarded<T> page(V::width + 8);
    // Signalling and quiet NaNs and -0 must go through loads and stores unchanged, so everything is compared as bits.
    T source[V::width];
    for (int lane = 0; lane < V::width; ++lane) source[lane] = T(lane) + T(0.5);
    source[V::width - 1] = from_bits<T>(static_cast<Bits<T>>(~Bits<T>(0) << 2 | 1));
    source[0] = -T(0);

    for (int count = 0; count <= V::width; ++count) {
        T* const edge = page.end() - count;
        std::memcpy(edge, source, sizeof(T) * static_cast<std::size_t>(count));
        T loaded[V::width];
        V::load_first(edge, count).store(loaded);
        for (int lane = 0; lane < V::width; ++lane) {
            const T want = lane < count ? source[lane] : T(0);
            checks.check(bits(loaded[lane]) == bits(want), "load_first<%s>(%d) lane %d: %a", type_name<T>, count, lane,
                         double(loaded[lane]));
        }

        constexpr int margin = 4;
        T* const row = page.end() - count - margin;
        std::memset(row, 0xA5, sizeof(T) * static_cast<std::size_t>(count + margin));
        V::load(source).store_first(edge, count);
        checks.check(std::memcmp(edge, source, sizeof(T) * static_cast<std::size_t>(count)) == 0, "store_first<%s>(%d)",
                     type_name<T>, count);

        T buffer[V::width + 2 * margin];
        std::memset(buffer, 0xA5, sizeof buffer);
        V::load(source).store_first(buffer + margin, count);
        for (int i = 0; i < V::width + 2 * margin; ++i) {
            T canary;
            std::memset(&canary, 0xA5, sizeof canary);
            const bool written = i >= margin && i < margin + count;
            checks.check(bits(buffer[i]) == bits(written ? source[i - margin] : canary),
                         "store_first<%s>(%d) at offset %d", type_name<T>, count, i - margin);
        }
    }

    // Unaligned, and up to the very end of the page.
    for (int shift = 0; shift < 8; ++shift) {
        T* const p = page.end() - V::width - shift;
        V::load(source).store(p);
        T loaded[V::width];
        V::load(p).store(loaded);
        checks.check(std::memcmp(loaded, source, sizeof source) == 0, "load, store <%s> %d short of the page",
                     type_name<T>, shift);
    }
    alignas(64) char unaligned[sizeof(T) * V::width + 1];
    T* const odd = reinterpret_cast<T*>(unaligned + 1);
    V::load(source).store(odd);
    checks.check(std::memcmp(unaligned + 1, source, sizeof source) == 0, "store<%s> at an odd address", type_name<T>);
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
