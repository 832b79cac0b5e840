"""Derives the constants of constants.hpp from nothing but the definitions of exp, tanh and coth.

    python derive_coefficients.py            # needs mpmath; prints constants and errors

Method: Remez exchange in 50-digit arithmetic on the relative error. A table is then rounded to its format one
coefficient at a time, lowest degree first, and the ones still free are fitted again, so that the later coefficients
absorb the rounding of the earlier ones.
"""

import argparse

import mpmath as mp

mp.mp.dps = 50

# Intervals are widened by this much: the reduction rounds x / ln 2, and without FMA also the product with ln 2.
SLACK = 1 + mp.mpf(2) ** -12


def round_to_bits(value, bits):
    """Round to nearest, ties to even, with `bits` bits of significand."""
    mantissa, exponent = mp.frexp(mp.mpf(value))
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), exponent - bits)


def literal(value, bits):
    """A C++ hexadecimal literal of an exactly representable value."""
    text = float(value).hex()
    mantissa, exponent = text.split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}" + ("f" if bits == 24 else "")


class Fit:
    """p(t) ~ target(t) with error(t) = (p(t) - target(t)) * weight(t); extrema are looked for on the grid `nodes`."""

    def __init__(self, target, weight, nodes, degree):
        self.nodes = nodes
        self.target = [target(t) for t in nodes]
        self.weight = [weight(t) for t in nodes]
        self.value = [mp.mpf(0)] * (degree + 1)
        self.rounded = 0  # how many of the lowest coefficients are final

    def free(self):
        return range(self.rounded, len(self.value))

    def errors(self):
        values = [mp.polyval(self.value[::-1], t) for t in self.nodes]
        return [(p - f) * w for p, f, w in zip(values, self.target, self.weight, strict=True)]

    def known(self, t):
        return sum(self.value[k] * t**k for k in range(self.rounded))

    def start(self):
        """Interpolation at the Chebyshev-like points of the grid."""
        count, last = len(self.free()), len(self.nodes) - 1
        picks = [last * (2 * i + 1) // (2 * count) for i in range(count)]
        rows = [[self.nodes[i] ** k for k in self.free()] for i in picks]
        right = [self.target[i] - self.known(self.nodes[i]) for i in picks]
        self.value[self.rounded :] = list(mp.lu_solve(mp.matrix(rows), mp.matrix(right)))

    @staticmethod
    def extrema(errors, count):
        """Indices of `count` alternating extrema: the largest of each run of one sign, ends dropped if too many."""
        runs = []
        for i, e in enumerate(errors):
            if runs and (errors[runs[-1]] > 0) == (e > 0):
                if abs(e) > abs(errors[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > count:
            runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
        return runs if len(runs) == count else None

    def level(self, points):
        """Solve for equal, alternating errors at the given points."""
        rows, right = [], []
        for row, i in enumerate(points):
            t, w = self.nodes[i], self.weight[i]
            rows.append([w * t**k for k in self.free()] + [mp.mpf(-1) ** row])
            right.append(w * (self.target[i] - self.known(t)))
        self.value[self.rounded :] = list(mp.lu_solve(mp.matrix(rows), mp.matrix(right)))[:-1]

    def remez(self):
        errors = self.errors()
        for _ in range(25):
            points = self.extrema(errors, len(self.free()) + 1)
            if points is None:  # the rounded coefficients left fewer alternations: what we have stands
                break
            saved, before = list(self.value), max(map(abs, errors))
            self.level(points)
            errors = self.errors()
            after = max(map(abs, errors))
            if after > 4 * before:
                self.value = saved
                break
            if abs(after - before) < before * mp.mpf(10) ** -4:
                break
        return max(map(abs, self.errors()))

    def round_coefficients(self, bits):
        while self.rounded < len(self.value):
            self.value[self.rounded] = round_to_bits(self.value[self.rounded], bits)
            self.rounded += 1
            if len(self.free()):
                self.remez()
        return max(map(abs, self.errors()))


def fit_and_show(title, fit, bits):
    fit.start()
    exact = fit.remez()
    rounded = fit.round_coefficients(bits)
    print(f"{title}: max relative error {mp.nstr(exact, 3)}, {mp.nstr(rounded, 3)} once rounded to {bits} bits")
    print("    {" + ", ".join(literal(value, bits) for value in fit.value) + "}")


def exponential(degree, bits):
    """exp(r) = 1 + r + r^2 p(r) on |r| <= ln(2)/2 and a little."""
    half = mp.log(2) / 2 * SLACK
    nodes = [half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / 600) for i in range(600)]
    fit = Fit(lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.exp(r), nodes, degree - 2)
    fit_and_show(f"exp, degree {degree}", fit, bits)


def even_part(degree, bits, factor):
    """factor * r coth(r/2) in powers of z = (factor r)^2, |r| <= ln(2)/2 and a little, for e^r = (g + r) / (g - r)."""
    scale = mp.mpf(factor)  # the double, as the kernels have it
    half = scale * mp.log(2) / 2 * SLACK
    nodes = [(half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / 1200)) ** 2 for i in range(600)]

    def exact(z):
        return mp.sqrt(z) * mp.coth(mp.sqrt(z) / scale / 2)

    fit = Fit(exact, lambda z: 2 * mp.sqrt(z) / (exact(z) ** 2 - z), nodes, degree)
    fit_and_show(f"{factor} r coth(r/2), degree {degree}, for e^r", fit, bits)


def hyperbolic_tangent(count, bits):
    """tanh(r) = r + r^3 p(r^2) with `count` coefficients on |r| <= ln(2)/4 and a little."""
    half = mp.log(2) / 4 * SLACK
    nodes = [(half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / 1200)) ** 2 for i in range(600)]
    ratio = {z: mp.tanh(mp.sqrt(z)) / mp.sqrt(z) for z in nodes}
    fit = Fit(lambda z: (ratio[z] - 1) / z, lambda z: z / ratio[z], nodes, count - 1)
    fit_and_show(f"tanh, {count} coefficients", fit, bits)


def in_two_parts(name, value, bits, high_bits):
    """A constant as high + low: `high` leaves room for its product with the integers it meets to be exact."""
    high = round_to_bits(value, high_bits)
    low = round_to_bits(value - high, bits)
    print(f"{name}: {literal(high, bits)}" + (f" + {literal(low, bits)}" if high_bits < bits else ""))


def logarithm_of_two(bits, high_bits, half_high_bits):
    in_two_parts("ln 2", mp.log(2), bits, high_bits)
    in_two_parts("ln(2) / 2", mp.log(2) / 2, bits, half_high_bits)
    print(f"1 / ln 2: {literal(round_to_bits(1 / mp.log(2), bits), bits)}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, bits, high_bits, half_high_bits, degree, factor, even_degree, count in (
        ("float32", 24, 15, 24, 6, 1.0, 2, 2),
        ("float64", 53, 42, 49, 11, 0.8, 5, 6),
    ):
        print(name)
        logarithm_of_two(bits, high_bits, half_high_bits)
        exponential(degree, bits)
        even_part(even_degree, bits, factor)
        hyperbolic_tangent(count, bits)
