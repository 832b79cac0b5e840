// exp, sigmoid and tanh of one ISA: accuracy in units in the last place, exact values, and flush-to-zero mode.
//
//   test_math                 a dense stride through all floats, a walk through the doubles, edges: a few seconds
//   test_math --stride=N      every Nth float; --stride=1 is exhaustive (a minute or two)
//   test_math --doubles=N     N doubles per function

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "../kernels/denormals.hpp"
#include "../kernels/math/exp.hpp"
#include "../kernels/math/sigmoid.hpp"
#include "../kernels/math/tanh.hpp"
#include "bits.hpp"
#include "check.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using fusedrnn_test::bits;
using fusedrnn_test::Bits;
using fusedrnn_test::Checks;
using fusedrnn_test::from_bits;
using fusedrnn_test::type_name;

// The reference type has at least 11 more bits than the tested one, so its own error does not count.
template <class T>
using Reference = std::conditional_t<sizeof(T) == 4, double, long double>;
static_assert(std::numeric_limits<long double>::digits >= std::numeric_limits<double>::digits + 11);

struct Exp {
    static constexpr const char* name = "exp";
    template <class V>
    static V apply(V x) {
        return isa::exp(x);
    }
    template <class R>
    static R reference(R x) {
        return std::exp(x);
    }
};

struct Sigmoid {
    static constexpr const char* name = "sigmoid";
    template <class V>
    static V apply(V x) {
        return isa::sigmoid(x);
    }
    template <class R>
    static R reference(R x) {
        return R(1) / (R(1) + std::exp(-x));
    }
};

struct Tanh {
    static constexpr const char* name = "tanh";
    template <class V>
    static V apply(V x) {
        return isa::tanh(x);
    }
    template <class R>
    static R reference(R x) {
        return std::tanh(x);
    }
};

// |result - exact| in units in the last place of the exact value.
template <class T>
constexpr double allowed_error = sizeof(T) == 4 ? 3.0 : 2.0;

template <class F, class T>
[[gnu::noinline]] void apply(const T* in, T* out, int count) {
    using V = isa::Vec<T>;
    for (int i = 0; i < count; i += V::width)
        F::apply(V::load_first(in + i, std::min(count - i, V::width)))
            .store_first(out + i, std::min(count - i, V::width));
}

template <class F, class T>
T apply_one(T x) {
    T result;
    apply<F, T>(&x, &result, 1);
    return result;
}

// Maps floats to integers in their order, so that neighbours differ by one.
template <class T>
std::int64_t ordinal(T x) {
    const auto b = std::bit_cast<std::make_signed_t<Bits<T>>>(x);
    return b < 0 ? std::int64_t(std::numeric_limits<std::make_signed_t<Bits<T>>>::min()) - b : std::int64_t(b);
}

template <class T>
struct Worst {
    double error = 0;  // |result - exact| in units in the last place of the exact value: what is bound
    T error_at = 0;
    std::int64_t distance = 0;  // floats between the result and the correctly rounded one, which can be one less
    T distance_at = 0;
    long count = 0;
    long bad = 0;  // NaN lost or made, out of range
    T bad_at = 0;
};

template <class F, class T>
void measure(const T* in, const T* out, int count, Worst<T>& worst) {
    using R = Reference<T>;
    constexpr int digits = std::numeric_limits<T>::digits;
    constexpr int smallest_exponent = std::numeric_limits<T>::min_exponent;
    for (int i = 0; i < count; ++i) {
        const T x = in[i], y = out[i];
        ++worst.count;
        const bool in_range = std::is_same_v<F, Tanh>      ? std::fabs(y) <= 1 && std::signbit(y) == std::signbit(x)
                              : std::is_same_v<F, Sigmoid> ? y >= 0 && y <= 1 && !std::signbit(y)
                                                           : y >= 0 && !std::signbit(y);
        if (std::isnan(x) ? !std::isnan(y) : !in_range) {
            ++worst.bad;
            worst.bad_at = x;
            continue;
        }
        if (std::isnan(x)) continue;
        // Infinity counts as the number it stands for in rounding: the next after the largest.
        const R overflow = std::ldexp(R(1), std::numeric_limits<T>::max_exponent);
        const R exact = std::min(F::template reference<R>(R(x)), overflow);
        const R got = std::min(R(y), overflow);
        const T rounded = T(exact);
        if (const auto distance = std::abs(ordinal(y) - ordinal(rounded)); distance > worst.distance) {
            worst.distance = distance;
            worst.distance_at = x;
        }
        int exponent;
        std::frexp(exact, &exponent);
        exponent = exact == 0 ? smallest_exponent : std::max(exponent, smallest_exponent);
        const double error = double(std::fabs(std::ldexp(got - exact, digits - exponent)));
        if (error > worst.error) {
            worst.error = error;
            worst.error_at = x;
        }
    }
}

template <class F, class T>
void judge(Checks& checks, const Worst<T>& worst) {
    std::printf("%-8s %-6s %11ld values: max %.3f ULP at %a; %lld from correctly rounded at %a\n", F::name,
                type_name<T>, worst.count, worst.error, double(worst.error_at), static_cast<long long>(worst.distance),
                double(worst.distance_at));
    checks.check(worst.error <= allowed_error<T>, "%s<%s>(%a) errs by %.3f ULP, %.1f allowed", F::name, type_name<T>,
                 double(worst.error_at), worst.error, allowed_error<T>);
    checks.check(worst.bad == 0, "%s<%s>(%a) loses NaN or the range (%ld such values)", F::name, type_name<T>,
                 double(worst.bad_at), worst.bad);
}

constexpr int block = 1024;

template <class F>
void walk_floats(Checks& checks, std::uint64_t stride) {
    Worst<float> worst;
    float in[block], out[block];
    for (std::uint64_t pattern = 0; pattern < (std::uint64_t(1) << 32);) {
        int count = 0;
        for (; count < block && pattern < (std::uint64_t(1) << 32); ++count, pattern += stride) {
            in[count] = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
        }
        apply<F, float>(in, out, count);
        measure<F, float>(in, out, count, worst);
    }
    judge<F, float>(checks, worst);
}

// A quarter of the walk is even over the interval in which the function is neither constant nor the identity, a quarter
// over its middle, where errors are largest, a quarter is even in the exponent, a quarter goes over all bit patterns.
template <class F>
void walk_doubles(Checks& checks, long total) {
    Worst<double> worst;
    double in[block], out[block];
    std::uint64_t state = 1;
    const auto random = [&state] {
        state += 0x9E3779B97F4A7C15u;
        std::uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    };
    const double reach = std::is_same_v<F, Tanh> ? 20 : 750, middle = std::is_same_v<F, Tanh> ? 2 : 8;
    for (long done = 0; done < total; done += block) {
        for (int i = 0; i < block; ++i) {
            const double unit = std::ldexp(double(random() >> 11), -53);
            const double sign = (random() & 1) ? -1 : 1;
            switch (i % 4) {
                case 0:
                    in[i] = sign * unit * reach;
                    break;
                case 1:
                    in[i] = sign * unit * middle;
                    break;
                case 2:
                    in[i] = sign * std::ldexp(1 + unit, static_cast<int>(random() % 70) - 60);
                    break;
                default:
                    in[i] = std::bit_cast<double>(random());
            }
        }
        apply<F, double>(in, out, block);
        measure<F, double>(in, out, block, worst);
    }
    judge<F, double>(checks, worst);
}

template <class T>
void test_exact_values(Checks& checks) {
    using Limits = std::numeric_limits<T>;
    const T inf = Limits::infinity();
    const auto expect = [&checks](const char* name, T x, T got, T want) {
        checks.check(bits(got) == bits(want), "%s<%s>(%a) = %a, expected %a", name, type_name<T>, double(x),
                     double(got), double(want));
    };
    for (T zero : {T(0), -T(0)}) {
        expect("tanh", zero, apply_one<Tanh>(zero), zero);
        expect("sigmoid", zero, apply_one<Sigmoid>(zero), T(0.5));
        expect("exp", zero, apply_one<Exp>(zero), T(1));
    }
    for (T large : {T(100), T(1e30), Limits::max(), inf}) {
        expect("tanh", large, apply_one<Tanh>(large), T(1));
        expect("tanh", -large, apply_one<Tanh>(-large), T(-1));
        expect("sigmoid", large, apply_one<Sigmoid>(large), T(1));
    }
    for (T large : {T(800), T(1e30), Limits::max(), inf}) {
        expect("sigmoid", -large, apply_one<Sigmoid>(-large), T(0));
        expect("exp", large, apply_one<Exp>(large), inf);
        expect("exp", -large, apply_one<Exp>(-large), T(0));
    }
    for (T tiny = Limits::denorm_min(); tiny < Limits::epsilon(); tiny *= T(1.75)) {
        expect("tanh", tiny, apply_one<Tanh>(tiny), tiny);
        expect("tanh", -tiny, apply_one<Tanh>(-tiny), -tiny);
        tiny += Limits::denorm_min();
    }
    for (T subnormal : {Limits::denorm_min(), Limits::denorm_min() * 5, Limits::min() - Limits::denorm_min()}) {
        expect("tanh", subnormal, apply_one<Tanh>(subnormal), subnormal);
        expect("tanh", -subnormal, apply_one<Tanh>(-subnormal), -subnormal);
        expect("sigmoid", subnormal, apply_one<Sigmoid>(subnormal), T(0.5));
        expect("exp", subnormal, apply_one<Exp>(subnormal), T(1));
    }
    // Odd to the bit, saturation included.
    for (T x = T(1e-6); x < T(30); x *= T(1.0001)) expect("tanh", -x, apply_one<Tanh>(-x), -apply_one<Tanh>(x));

    // Subnormal results.
    const T deep = sizeof(T) == 4 ? T(-100) : T(-740);
    checks.check(apply_one<Sigmoid>(deep) > 0 && apply_one<Sigmoid>(deep) < Limits::min(), "sigmoid<%s>(%a) = %a",
                 type_name<T>, double(deep), double(apply_one<Sigmoid>(deep)));
    checks.check(apply_one<Exp>(deep) > 0 && apply_one<Exp>(deep) < Limits::min(), "exp<%s>(%a) = %a", type_name<T>,
                 double(deep), double(apply_one<Exp>(deep)));

    // A quiet NaN keeps its sign and payload; a signalling one becomes quiet.
    for (Bits<T> payload : {Bits<T>(0), Bits<T>(1), Bits<T>(0x1234), Bits<T>(0x7FF), Bits<T>(0x5A5A5)}) {
        for (T sign : {T(1), T(-1)}) {
            const T nan = std::copysign(from_bits<T>(bits(Limits::quiet_NaN()) | payload), sign);
            expect("exp", nan, apply_one<Exp>(nan), nan);
            expect("sigmoid", nan, apply_one<Sigmoid>(nan), nan);
            expect("tanh", nan, apply_one<Tanh>(nan), nan);
        }
    }
    const T signalling = Limits::signaling_NaN();
    for (T y : {apply_one<Exp>(signalling), apply_one<Sigmoid>(signalling), apply_one<Tanh>(signalling)}) {
        checks.check(std::isnan(y), "signalling NaN gave %a", double(y));
    }
}

// In flush mode: the same bits as for the flushed input outside of it, except that subnormal results become zero (or,
// at the very edge, the smallest normal number).
template <class F, class T>
void test_flush_mode(Checks& checks) {
    using Limits = std::numeric_limits<T>;
    std::vector<T> in;
    for (std::uint64_t i = 0; i < 400000; ++i) {
        in.push_back(from_bits<T>(static_cast<Bits<T>>(i * 0x9E3779B97F4A7C15u >> (64 - 8 * sizeof(T)))));
    }
    for (int i = -200000; i <= 200000; ++i) in.push_back(T(i) / T(sizeof(T) == 4 ? 1900 : 260));
    for (T x : {Limits::denorm_min(), Limits::min(), Limits::max(), Limits::infinity(), T(0)}) {
        in.push_back(x);
        in.push_back(-x);
    }
    std::vector<T> flushed_in = in;
    for (T& x : flushed_in) {
        if (std::fabs(x) < Limits::min()) x = std::copysign(T(0), x);
    }
    const int count = static_cast<int>(in.size());
    std::vector<T> plain(in.size()), flushed(in.size());
    apply<F, T>(flushed_in.data(), plain.data(), count);
    {
        const isa::DenormalsFlushed mode;
        apply<F, T>(in.data(), flushed.data(), count);
    }
    long wrong = 0;
    T wrong_at = 0, wrong_value = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
        const T want = plain[i], got = flushed[i];
        const bool subnormal = want != 0 && std::fabs(want) < Limits::min();
        const bool edge = std::fabs(want) == Limits::min();
        const bool equal = bits(want) == bits(got);
        const bool zero_or_smallest = std::fabs(got) == T(0) || std::fabs(got) == Limits::min();
        if (subnormal || edge ? zero_or_smallest : equal) continue;
        ++wrong;
        wrong_at = in[i];
        wrong_value = got;
    }
    checks.check(wrong == 0, "%s<%s>(%a) = %a in flush-to-zero mode (%ld such values)", F::name, type_name<T>,
                 double(wrong_at), double(wrong_value), wrong);
}

template <class F>
void test_function(Checks& checks, std::uint64_t stride, long doubles) {
    walk_floats<F>(checks, stride);
    walk_doubles<F>(checks, doubles);
    test_flush_mode<F, float>(checks);
    test_flush_mode<F, double>(checks);
}

[[gnu::noinline]] int run(std::uint64_t stride, long doubles) {
    Checks checks;
    test_exact_values<float>(checks);
    test_exact_values<double>(checks);
    test_function<Exp>(checks, stride, doubles);
    test_function<Sigmoid>(checks, stride, doubles);
    test_function<Tanh>(checks, stride, doubles);
    return checks.finish();
}

// Not in main: even the beginning of a function may use the ISA.
[[gnu::noinline]] int run_with(int argc, char** argv) {
    std::uint64_t stride = 499;  // prime, so that the low bits of the walk take every value
    long doubles = 1000000;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument.rfind("--stride=", 0) == 0) stride = std::strtoull(argv[i] + 9, nullptr, 10);
        if (argument.rfind("--doubles=", 0) == 0) doubles = std::strtol(argv[i] + 10, nullptr, 10);
    }
    return run(stride > 0 ? stride : 1, doubles);
}

}  // namespace

int main(int argc, char** argv) {
    return fusedrnn_test::cpu_has_compiled_isa() ? run_with(argc, argv) : fusedrnn_test::skipped;
}
